package flags

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestWholeNumbersArriveAsInt(t *testing.T) {
	asked, err := Parse([]string{
		"--dynamic-config-value", "history.timerProcessorMaxPollRPS=2000",
		"--dynamic-config-value", `history.timerProcessorMaxTimeShift="20ms"`,
		"--dynamic-config-value=a.ratio=0.5",
		"--dynamic-config-value", `a.map={"n":1,"list":[2,true]}`,
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"history.timerProcessorMaxPollRPS":   2000,
		"history.timerProcessorMaxTimeShift": "20ms",
		"a.ratio":                            0.5,
		"a.map":                              map[string]any{"n": 1, "list": []any{2, true}},
	}
	if !reflect.DeepEqual(asked.DynamicConfig, want) {
		t.Fatalf("got %#v", asked.DynamicConfig)
	}
}

func TestNamespacesAndAttributes(t *testing.T) {
	asked, err := Parse([]string{"--namespace", "agency", "-n", "agency", "--search-attribute", "Owner=Keyword"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(asked.Namespaces, []string{"agency", "default"}) || asked.SearchAttributes["Owner"] != "Keyword" {
		t.Fatalf("got %#v", asked)
	}
}

func TestBadWordsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"--dynamic-config-value", "a=1 2"},
		{"--dynamic-config-value", "a=}"},
		{"--dynamic-config-value", "=1"},
		{"--search-attribute", "Owner"},
		{"--namespace", ""},
		{"--port", "x"},
		{"--no-such-flag"},
		{"stray"},
	} {
		if _, err := Parse(args, io.Discard); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var out strings.Builder
	if _, err := Parse([]string{"--help"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for _, name := range []string{"-port", "-ui-port", "-headless", "-db-filename", "-search-attribute", "-dynamic-config-value"} {
		if !strings.Contains(out.String(), name) {
			t.Errorf("help lacks %s", name)
		}
	}
}
