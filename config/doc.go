// Package config reads the migration config: the YAML of key migration.yaml
// in the ConfigMap, or of a local file.
//
// Takes: bytes and the name to call them by in messages.
// Gives: a migration.Table, the same bytes with one setting of one service
// changed (SetPercentage, SetEnabled), a stream of a file's contents (File),
// and the JSON Schema of the format.
// Refuses: all that the format does not say: unknown and repeated keys, wrong
// types, values outside their alphabets and ranges, combinations without
// meaning, anchors, tags and second documents. Every problem of a text is
// reported at once, with file, line and column.
//
// This is the only room that knows YAML. It imports migration. The CLI, the
// data plane's composition, webhook and watcher may import it.
//
// The structs in format.go are the one description of the format: the decoder
// (decode.go) and the schema (schema.go) both read them.
package config
