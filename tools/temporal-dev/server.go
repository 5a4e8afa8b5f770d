package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	ui "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	uioptions "github.com/temporalio/ui-server/v2/server/server_options"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	schema "go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"holdfast/tools/temporal-dev/flags"
)

const clusterName = "active"

// One shard and one user: values that matter on a single machine. The command line overrides each.
var singleMachine = map[string]any{
	"frontend.enableServerVersionCheck":              false,
	"system.forceSearchAttributesCacheRefreshOnRead": true,
	"matching.numTaskqueueReadPartitions":            1,
	"matching.numTaskqueueWritePartitions":           1,
	"frontend.namespaceRPS.visibility":               1000,
	"frontend.namespaceBurstRatio.visibility":        1,
}

// serve runs the server, and the UI beside it, until a signal asks for the end.
func serve(asked *flags.StartDev) error {
	if err := choosePorts(asked); err != nil {
		return err
	}
	store, err := openStore(asked)
	if err != nil {
		return err
	}
	internal, err := freePorts(4)
	if err != nil {
		return err
	}
	if asked.HTTPPort == 0 {
		asked.HTTPPort = internal[3]
	}
	ports := map[primitives.ServiceName]int{
		primitives.FrontendService: asked.Port, primitives.HistoryService: internal[0],
		primitives.MatchingService: internal[1], primitives.WorkerService: internal[2],
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(serverConfig(asked, store, ports)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts(ports)),
		temporal.WithLogger(logger(asked)),
		temporal.WithDynamicConfigClient(dynamicConfig(asked)),
		temporal.InterruptOn(temporal.InterruptCh()),
	)
	if err != nil {
		return fmt.Errorf("can't make the server: %w", err)
	}
	if !asked.Headless {
		startUI(asked)
	}
	announce(asked)
	return server.Start()
}

func announce(asked *flags.StartDev) {
	fmt.Printf("Temporal server: %s:%d\n", asked.IP, asked.Port)
	if !asked.Headless {
		fmt.Printf("Temporal UI:     http://%s:%d\n", asked.UIIP, asked.UIPort)
	}
}

func choosePorts(asked *flags.StartDev) error {
	if asked.Port == 0 {
		free, err := freePorts(1)
		if err != nil {
			return err
		}
		asked.Port = free[0]
	}
	if asked.UIPort == 0 {
		asked.UIPort = asked.Port + 1000
	}
	wanted := []string{address(asked.IP, asked.Port)}
	if !asked.Headless {
		wanted = append(wanted, address(asked.UIIP, asked.UIPort))
	}
	for _, one := range wanted {
		listener, err := net.Listen("tcp", one)
		if err != nil {
			return fmt.Errorf("%s is taken: %w", one, err)
		}
		_ = listener.Close()
	}
	return nil
}

// freePorts holds all listeners open until it has them all, so that no two are the same.
func freePorts(count int) ([]int, error) {
	ports := make([]int, 0, count)
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func address(ip string, port int) string {
	return net.JoinHostPort(ip, strconv.Itoa(port))
}

func openStore(asked *flags.StartDev) (*config.SQL, error) {
	store := &config.SQL{PluginName: sqlite.PluginName, ConnectAttributes: map[string]string{}}
	if asked.DBFilename == "" {
		store.DatabaseName = fmt.Sprintf("temporal-dev-%d", os.Getpid())
		store.ConnectAttributes["mode"] = "memory"
		store.ConnectAttributes["cache"] = "shared"
	} else {
		store.DatabaseName = asked.DBFilename
		store.ConnectAttributes["mode"] = "rwc"
		if err := ensureSchema(*store); err != nil {
			return nil, err
		}
		store.ConnectAttributes["journal_mode"] = "wal"
		store.ConnectAttributes["synchronous"] = "full"
	}
	return store, createNamespaces(asked, store)
}

// ensureSchema makes the database beside its name and renames it: a server killed meanwhile leaves no half schema behind.
func ensureSchema(store config.SQL) error {
	if _, err := os.Stat(store.DatabaseName); err == nil {
		return nil
	}
	final := store.DatabaseName
	store.DatabaseName = final + ".new"
	if err := os.RemoveAll(store.DatabaseName); err != nil {
		return err
	}
	if err := schema.SetupSchema(&store); err != nil {
		return fmt.Errorf("can't set up %s: %w", final, err)
	}
	return os.Rename(store.DatabaseName, final)
}

func createNamespaces(asked *flags.StartDev, store *config.SQL) error {
	attributes := make(map[string]enumspb.IndexedValueType, len(asked.SearchAttributes))
	for name, kind := range asked.SearchAttributes {
		value, err := enumspb.IndexedValueTypeFromString(kind)
		if err != nil {
			return fmt.Errorf("search attribute %s: %w", name, err)
		}
		attributes[name] = value
	}
	for _, name := range asked.Namespaces {
		namespace, err := schema.NewNamespaceConfig(clusterName, name, false, attributes)
		if err != nil {
			return err
		}
		if err := schema.CreateNamespaces(store, namespace); err != nil {
			return fmt.Errorf("can't create namespace %s: %w", name, err)
		}
	}
	return nil
}

func serverConfig(asked *flags.StartDev, store *config.SQL, ports map[primitives.ServiceName]int) *config.Config {
	frontend := address(asked.IP, asked.Port)
	made := &config.Config{
		Persistence: config.Persistence{
			DefaultStore: "store", VisibilityStore: "store", NumHistoryShards: 1,
			DataStores: map[string]config.DataStore{"store": {SQL: store}},
		},
		ClusterMetadata: &cluster.Config{
			MasterClusterName: clusterName, CurrentClusterName: clusterName, FailoverVersionIncrement: 10,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		PublicClient:        config.PublicClient{HostPort: frontend},
		Services:            map[string]config.Service{},
		Archival: config.Archival{
			History: config.HistoryArchival{State: "disabled"}, Visibility: config.VisibilityArchival{State: "disabled"},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
	}
	made.Global.Membership = config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: "127.0.0.1"}
	for name, port := range ports {
		made.Services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: "127.0.0.1"}}
	}
	made.Services[string(primitives.FrontendService)] = config.Service{
		RPC: config.RPC{GRPCPort: asked.Port, HTTPPort: asked.HTTPPort, BindOnIP: asked.IP},
	}
	if asked.MetricsPort != 0 {
		made.Global.Metrics = &metrics.Config{Prometheus: &metrics.PrometheusConfig{
			ListenAddress: address(asked.IP, asked.MetricsPort), HandlerPath: "/metrics",
		}}
	}
	return made
}

func hosts(ports map[primitives.ServiceName]int) map[primitives.ServiceName]static.Hosts {
	made := make(map[primitives.ServiceName]static.Hosts, len(ports))
	for name, port := range ports {
		made[name] = static.SingleLocalHost(address("127.0.0.1", port))
	}
	return made
}

func dynamicConfig(asked *flags.StartDev) dynamicconfig.StaticClient {
	made := dynamicconfig.StaticClient{}
	for _, values := range []map[string]any{singleMachine, asked.DynamicConfig} {
		for key, value := range values {
			made[dynamicconfig.MakeKey(key)] = value
		}
	}
	return made
}

func logger(asked *flags.StartDev) log.Logger {
	if asked.LogLevel == "never" {
		return log.NewNoopLogger()
	}
	format := "json"
	if asked.LogFormat == "text" || asked.LogFormat == "pretty" {
		format = "console"
	}
	made := log.BuildZapLogger(log.Config{Level: asked.LogLevel, Format: format})
	// A poller that went away is logged as an error: with a stack trace each time, nothing else would be seen.
	return log.NewZapLogger(made.WithOptions(zap.AddStacktrace(zapcore.DPanicLevel)))
}

func startUI(asked *flags.StartDev) {
	server := ui.NewServer(uioptions.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: address(asked.IP, asked.Port),
		Host:                asked.UIIP,
		Port:                asked.UIPort,
		EnableUI:            true,
		DefaultNamespace:    "default",
		DisableNewsFetch:    true,
		HideLogs:            true,
		CORS:                uiconfig.CORS{CookieInsecure: true},
	}))
	go func() {
		if err := server.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "temporal-dev: the UI ended:", err)
		}
	}()
}
