"""The relay's store on NATS JetStream (`pip install chez[cluster]`): several relays over one cluster.

`store` is the storage itself and the way in; `spaces`, `log` and `draft` are the spaces,
`boxes` the inboxes, `attachments` the chunks; `blocks` says what the streams hold, `places`
where; `engine` is all that talks to the cluster. docs/decisions/0026-cluster.md tells why.
"""
