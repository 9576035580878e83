// Package behavior has only tests, of what a client sees: the generated
// config, the weights and the real nginx together, without the agent. They
// check that
//   - nginx decides as migration.Decide
//   - nginx accepts every config that package config accepts
//   - clients and backends notice nothing else of the proxy
//   - old gets the requests that new failed, and no others
package behavior
