// Command gitopshealth says what GitOps tools make of objects: Flux by kstatus, Argo CD by a health check in Lua; and
// what Flux makes of a manifest with variables.
//
// For the first two it reads one JSON object a line from standard input and writes {"status": ..., "message": ...} a
// line; for the last one it reads a text, and writes one.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/envsubst"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

const usage = `usage: gitopshealth kstatus            what Flux says of the objects on standard input
       gitopshealth argocd HEALTH.LUA  what the health check says of them in Argo CD
       gitopshealth substitute [--strict] [NAME=VALUE...]  what Flux makes of the manifest on standard input`

// Argo CD gives a health check this long.
const luaTimeout = time.Second

// A verdict is what a tool says of an object.
type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type judge func(object map[string]any) (verdict, error)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "substitute" {
		exitOn(substitute(os.Args[2:], os.Stdin, os.Stdout))
		return
	}
	judge, err := chosen(os.Args[1:])
	if err == nil {
		err = judgeAll(judge, os.Stdin, os.Stdout)
	}
	exitOn(err)
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// substitute does what Flux does with spec.postBuild.substitute. A variable that is not given is an error in the strict
// mode, and empty otherwise.
func substitute(args []string, input io.Reader, output io.Writer) error {
	strict := len(args) > 0 && args[0] == "--strict"
	given := map[string]string{}
	for _, arg := range args {
		if name, value, found := strings.Cut(arg, "="); found {
			given[name] = value
		}
	}
	manifest, err := io.ReadAll(input)
	if err != nil {
		return err
	}
	made, err := envsubst.Eval(string(manifest), func(name string) (string, bool) {
		value, found := given[name]
		return value, found || !strict
	})
	if err != nil {
		return err
	}
	_, err = io.WriteString(output, made)
	return err
}

func chosen(args []string) (judge, error) {
	switch {
	case len(args) == 1 && args[0] == "kstatus":
		return kstatus, nil
	case len(args) == 2 && args[0] == "argocd":
		script, err := os.ReadFile(args[1])
		return func(object map[string]any) (verdict, error) { return argocd(string(script), object) }, err
	}
	return nil, errors.New(usage)
}

func judgeAll(judge judge, input io.Reader, output io.Writer) error {
	lines := bufio.NewReader(input)
	answers := json.NewEncoder(output)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		// Not encoding/json: whole numbers must be int64, as they are in an object from the API server.
		var object map[string]any
		if err := utiljson.Unmarshal(line, &object); err != nil {
			return err
		}
		found, err := judge(object)
		if err != nil {
			return err
		}
		if err := answers.Encode(found); err != nil {
			return err
		}
	}
}

func kstatus(object map[string]any) (verdict, error) {
	found, err := status.Compute(&unstructured.Unstructured{Object: object})
	if err != nil {
		return verdict{}, err
	}
	return verdict{string(found.Status), found.Message}, nil
}

// argocd runs the script as Argo CD does: with the libraries package, base and table, the object as the global obj,
// and a table as its result. Argo CD's os library, which tells the time, is left out.
func argocd(script string, object map[string]any) (verdict, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	ctx, cancel := context.WithTimeout(context.Background(), luaTimeout)
	defer cancel()
	state.SetContext(ctx)
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage,
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return verdict{}, err
		}
	}
	state.SetGlobal("obj", luaValue(state, object))
	if err := state.DoString(script); err != nil {
		return verdict{}, err
	}
	table, ok := state.Get(-1).(*lua.LTable)
	if !ok {
		return verdict{}, fmt.Errorf("the health check returned a %s, not a table", state.Get(-1).Type())
	}
	return verdict{text(table, "status"), text(table, "message")}, nil
}

func text(table *lua.LTable, field string) string {
	value, _ := table.RawGetString(field).(lua.LString)
	return string(value)
}

func luaValue(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(luaValue(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, luaValue(state, item))
		}
		return table
	}
	return lua.LNil
}
