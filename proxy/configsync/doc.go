// Package configsync keeps the agent in step with the migration config.
//
// Takes:
//   - the versions of the config, from a File or from a ConfigMap
//
// Gives:
//   - each valid version to the agent, as a migration.Table
//   - the problems of an invalid version to the agent, as a rejection
//   - the file last-good.yaml: the newest version that was in force. A proxy
//     that starts while the config is invalid, or refused by nginx, serves this
//     version.
//
// Refuses:
//   - to decide what is in force: only the agent knows that
//
// A change of a percentage takes this way:
//
//	source.Run -> Sync.apply -> config.Load -> Agent.ApplyTable
//
// and an invalid config this one:
//
//	source.Run -> Sync.apply -> Agent.ReportInvalid
//	tick       -> Sync.offerLastGood -> Agent.SetLastGood, if nothing is in force
//
// A service that a ConfigMap no longer has is offered for some time more, with
// its migration disabled: the ingress controller may learn later than the proxy
// that the Ingress no longer points to the proxy, and until then old answers.
package configsync
