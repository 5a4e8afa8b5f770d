// Package flags reads the command line of `temporal server start-dev`, as far as a project on one machine needs it.
package flags

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// StartDev is what the command line asks for. Port 0 means a free one; a UIPort of 0 means Port + 1000.
type StartDev struct {
	IP               string
	Port             int
	HTTPPort         int
	MetricsPort      int
	UIIP             string
	UIPort           int
	Headless         bool
	Namespaces       []string
	DBFilename       string
	LogLevel         string
	LogFormat        string
	SearchAttributes map[string]string
	DynamicConfig    map[string]any
}

// Parse reads the words after `server start-dev`. Usage and errors are written to out; flag.ErrHelp means help was asked for.
func Parse(args []string, out io.Writer) (*StartDev, error) {
	asked := &StartDev{SearchAttributes: map[string]string{}, DynamicConfig: map[string]any{}}
	set := flag.NewFlagSet("temporal server start-dev", flag.ContinueOnError)
	set.SetOutput(out)
	set.StringVar(&asked.IP, "ip", "127.0.0.1", "address the server listens on")
	set.IntVar(&asked.Port, "port", 7233, "port of the gRPC frontend; 0 for a free one")
	set.IntVar(&asked.HTTPPort, "http-port", 0, "port of the HTTP API; 0 for a free one")
	set.IntVar(&asked.MetricsPort, "metrics-port", 0, "port of the server's own metrics at /metrics; 0 for none")
	set.StringVar(&asked.UIIP, "ui-ip", "", "address the web UI listens on (default: that of --ip)")
	set.IntVar(&asked.UIPort, "ui-port", 0, "port of the web UI (default: --port + 1000)")
	set.BoolVar(&asked.Headless, "headless", false, "no web UI")
	set.StringVar(&asked.DBFilename, "db-filename", "", "SQLite file that keeps the state (default: in memory, lost at the end)")
	set.StringVar(&asked.LogLevel, "log-level", "warn", "debug, info, warn, error or never")
	set.StringVar(&asked.LogFormat, "log-format", "json", "json, text or pretty")
	set.Func("namespace", "`name` of a namespace to create besides the default one; may be repeated", asked.addNamespace)
	set.Func("n", "`name`, short for --namespace", asked.addNamespace)
	set.Func("search-attribute", "custom search attribute, as `Name=Type`; may be repeated", asked.addSearchAttribute)
	set.Func("dynamic-config-value", "dynamic configuration, as `key=JSON`; may be repeated", asked.addDynamicConfig)
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	return asked, asked.finish(set.Args())
}

func (s *StartDev) finish(rest []string) error {
	if len(rest) > 0 {
		return fmt.Errorf("unexpected argument %q", rest[0])
	}
	if !slices.Contains(s.Namespaces, "default") {
		s.Namespaces = append(s.Namespaces, "default")
	}
	if s.UIIP == "" {
		s.UIIP = s.IP
	}
	return nil
}

func (s *StartDev) addNamespace(name string) error {
	if name == "" {
		return errors.New("a namespace has a name")
	}
	if !slices.Contains(s.Namespaces, name) {
		s.Namespaces = append(s.Namespaces, name)
	}
	return nil
}

func (s *StartDev) addSearchAttribute(text string) error {
	name, kind, found := strings.Cut(text, "=")
	if !found || name == "" || kind == "" {
		return errors.New("want Name=Type")
	}
	s.SearchAttributes[name] = kind
	return nil
}

func (s *StartDev) addDynamicConfig(text string) error {
	key, raw, found := strings.Cut(text, "=")
	if !found || key == "" {
		return errors.New("want key=JSON")
	}
	value, err := DecodeValue(raw)
	if err != nil {
		return fmt.Errorf("the value of %s: %w", key, err)
	}
	s.DynamicConfig[key] = value
	return nil
}

// DecodeValue reads one JSON value with whole numbers as int: the server ignores a float64 where it wants an integer, silently.
func DecodeValue(raw string) (any, error) {
	decoder := json.NewDecoder(strings.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	if decoder.More() {
		return nil, errors.New("more than one JSON value")
	}
	return plain(value), nil
}

func plain(value any) any {
	switch v := value.(type) {
	case json.Number:
		if whole, err := v.Int64(); err == nil {
			return int(whole)
		}
		real, _ := v.Float64()
		return real
	case map[string]any:
		for key, inner := range v {
			v[key] = plain(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = plain(inner)
		}
	}
	return value
}
