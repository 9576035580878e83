// Package config reads the migration config: the YAML text under key migration.yaml
// of the ConfigMap, or of a local file.
//
// Takes:
//   - a text, and the name of its source for messages
//
// Gives:
//   - a migration.Table ([Load])
//   - the same text with one setting of one service changed ([SetPercentage], [SetEnabled])
//   - the contents of a file, each time it changes ([File])
//   - the JSON Schema of the format ([Schema])
//
// Refuses everything that the format does not define:
//   - unknown and repeated keys, wrong types
//   - values outside their alphabets and ranges
//   - combinations of keys that have no meaning
//   - anchors, tags and second documents
//
// All problems of a text are reported at once, each with file, line and column.
//
// No other package parses or writes the YAML of the migration config. The structs in
// format.go are the only description of the format: the decoder (decode.go) and the schema
// (schema.go) both read them, and a test generates docs/config.md from the schema.
package config
