package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// YAML is the effective config: every key with its value, in the order of the reference file.
// Parse makes the same config of it.
func (c Config) YAML() (string, error) {
	top := &yaml.Node{Kind: yaml.MappingNode}
	sections := map[string]*yaml.Node{"": top}
	for _, path := range settings.paths {
		section, name := "", path
		if i := strings.LastIndexByte(path, '.'); i >= 0 {
			section, name = path[:i], path[i+1:]
		}
		value := &yaml.Node{Kind: yaml.MappingNode}
		if settings.sections[path] {
			sections[path] = value
		} else if err := value.Encode(c.value(path)); err != nil {
			return "", fmt.Errorf("write config: %s: %w", path, err)
		}
		if value.Kind == yaml.SequenceNode {
			value.Style = yaml.FlowStyle
		}
		parent := sections[section]
		parent.Content = append(parent.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, value)
	}
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if err := e.Encode(top); err != nil {
		return "", fmt.Errorf("write config: %w", err)
	}
	if err := e.Close(); err != nil {
		return "", fmt.Errorf("write config: %w", err)
	}
	return text.String(), nil
}

// value is the value of the key at path.
func (c Config) value(path string) any {
	return reflect.ValueOf(c).FieldByIndex(settings.byPath[path].field).Interface()
}
