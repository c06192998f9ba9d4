package config

import (
	"tunnels/sla"
	"tunnels/tls"
	"tunnels/tunnel"
)

// name sets the option names that other packages use in messages.
func (c *Config) name() {
	t := &c.Tunnel
	t.Names = tunnel.Names{ClientUsers: "-client.users", Rules: "-server.rules"}
	t.Remux.ConnMaxName = "-remux.conn.max.cnt"
	c.SLA.Names = slaNames()
	t.ServerTLS.Names, t.ClientTLS.Names = tlsNames("server"), tlsNames("client")
}

// slaNames returns the names of the log options.
func slaNames() sla.Names {
	return sla.Names{
		Level:          "-sla.log.level",
		Format:         "-sla.log.format",
		MaxMB:          "-sla.log.max.mb",
		Backups:        "-sla.log.backups",
		DingTalkToken:  "-sla.dingtalk.token",
		DingTalkSecret: "-sla.dingtalk.secret",
		DingTalkURL:    "-sla.dingtalk.url",
	}
}

// tlsNames returns the names of the TLS options of one role.
func tlsNames(role string) tls.Names {
	files := "-tls." + role + "."
	return tls.Names{
		Cert:       files + "cert",
		Key:        files + "key",
		CA:         files + "ca",
		ClientAll:  "-tls.client.cert, .key and .ca",
		ServerName: "-tls.server.name",
		Address:    "-server.addr",
		Protocol:   "-eagersocks.net",
	}
}
