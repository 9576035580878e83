package config

import (
	"fmt"
	"reflect"

	"github.com/migration-proxy/migration-proxy/migration"
	"gopkg.in/yaml.v3"
)

// Load reads a migration config. Name is the name of the text in messages, usually a
// file name. The error is Problems, with all problems in the order of the text.
func Load(name string, text []byte) (*migration.Table, error) {
	root, err := parse(name, text)
	if err != nil {
		return nil, err
	}
	return load(name, root)
}

func load(name string, root *yaml.Node) (*migration.Table, error) {
	found := &report{file: name}
	var doc document
	setDefault(reflect.ValueOf(&doc).Elem(), "")
	decoder{found}.value(root, reflect.ValueOf(&doc).Elem(), nil)
	checkDocument(found, root, doc)
	if err := found.err(); err != nil {
		return nil, err
	}
	table, err := build(doc)
	if err != nil {
		return nil, Problems{{File: name, Line: root.Line, Col: root.Column, Message: fmt.Sprint(err)}}
	}
	return table, nil
}
