module github.com/migration-proxy/migration-proxy

go 1.26
