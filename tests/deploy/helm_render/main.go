// Renders the templates of a chart without helm: Go's own text/template, Sprig from Debian, and the handful of functions that helm adds
// and our chart uses. Not here: dependencies, hooks, lookup, tpl, the check of values against their schema (the tests do that).
//
// Takes the folder of the chart as its argument and on stdin the object that templates see, as JSON. Writes all manifests to stdout.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v3"
)

func main() {
	if err := render(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func render(chart string) error {
	var world map[string]interface{}
	if err := json.NewDecoder(os.Stdin).Decode(&world); err != nil {
		return err
	}
	all := template.New("chart").Option("missingkey=zero")
	functions := sprig.TxtFuncMap()
	functions["include"] = func(name string, data interface{}) (string, error) {
		var text strings.Builder
		err := all.ExecuteTemplate(&text, name, data)
		return text.String(), err
	}
	functions["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	functions["required"] = func(message string, value interface{}) (interface{}, error) {
		if value == nil || value == "" {
			return nil, errors.New(message)
		}
		return value, nil
	}
	functions["fail"] = func(message string) (string, error) { return "", errors.New(message) }
	// As in helm: a chart sees nothing of the machine on which it is rendered.
	delete(functions, "env")
	delete(functions, "expandenv")
	all.Funcs(functions)

	files, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := all.New(filepath.Base(file)).Parse(string(text)); err != nil {
			return err
		}
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var text strings.Builder
		if err := all.ExecuteTemplate(&text, name, world); err != nil {
			return err
		}
		separator := "---\n# "
		if name == "NOTES.txt" {
			continue
		}
		fmt.Printf("%s%s\n%s\n", separator, name, text.String())
	}
	return nil
}
