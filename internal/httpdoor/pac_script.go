package httpdoor

import (
	"encoding/json"
	"strings"
)

// pacRules holds the PAC file's rules. It is immutable.
type pacRules struct {
	direct PACList // hosts that bypass the tunnel
	proxy  PACList // if not empty, the only hosts that use it
}

// thisMachine contains the loopback addresses, 127.0.0.0/8 and ::1, in the form of
// PACList.bits.
var thisMachine = []string{"4" + "01111111", "6" + strings.Repeat("0", 127) + "1"}

// script returns the PAC file for a browser that reaches this port at hostPort. If a
// password is required (users), SOCKS is omitted, because browsers do not support SOCKS
// passwords.
func (p *pacRules) script(hostPort string, users bool) string {
	way := "SOCKS5 " + hostPort + "; PROXY " + hostPort
	if users {
		way = "PROXY " + hostPort
	}
	names, nets, rest := p.direct.keys(), p.direct.bits(), "DIRECT"
	if p.proxy.empty() { // everything except this machine
		names = append(names, "=localhost", ".localhost")
		nets = append(nets, thisMachine...)
		rest = way
	}
	var b strings.Builder
	b.WriteString("// Selects the proxy for each host, without resolving names, because that would leak them.\n")
	for _, v := range []struct {
		name  string
		value any
	}{
		{"way", way},
		{"rest", rest},
		{"directNames", set(names)},
		{"directNets", nets},
		{"wayNames", set(p.proxy.keys())},
		{"wayNets", p.proxy.bits()},
	} {
		quoted, err := json.Marshal(v.value)
		if err != nil {
			panic("BUG: " + err.Error()) // cannot fail: the values are strings, and slices and maps of strings
		}
		b.WriteString("var " + v.name + " = " + string(quoted) + ";\n")
	}
	b.WriteString(pacCode)
	return b.String()
}

func set(keys []string) map[string]int {
	m := make(map[string]int, len(keys))
	for _, k := range keys {
		m[k] = 1
	}
	return m
}

// pacCode is written for the oldest engines that run PAC files.
const pacCode = `
function FindProxyForURL(url, host) {
  host = host.toLowerCase().replace(/^\[|\]$/g, "").replace(/\.$/, "");
  var bits = bitsOf(host);
  if (listed(host, bits, directNames, directNets)) return "DIRECT";
  if (listed(host, bits, wayNames, wayNets)) return way;
  return rest;
}

function listed(host, bits, names, nets) {
  if (bits) {
    for (var i = 0; i < nets.length; i++)
      if (bits.substring(0, nets[i].length) === nets[i]) return true;
    return false;
  }
  if (names["="  + host] === 1) return true;
  for (var dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1))
    if (names[host.substring(dot)] === 1) return true;
  return false;
}

// Returns 4 or 6 followed by the bits of an address, or "" for a name.
function bitsOf(host) {
  if (host.indexOf(":") < 0) return bits4(host) && "4" + bits4(host);
  var tail = host.substring(host.lastIndexOf(":") + 1), last = bits4(tail);
  if (last) host = host.substring(0, host.length - tail.length) + hex(last, 0) + ":" + hex(last, 16);
  var halves = host.split("::");
  var left = halves[0] ? halves[0].split(":") : [], right = halves[1] ? halves[1].split(":") : [];
  if (halves.length > 2 || halves.length === 1 && left.length !== 8 || left.length + right.length > 8) return "";
  while (left.length + right.length < 8) left.push("0");
  var all = left.concat(right), out = "";
  for (var i = 0; i < 8; i++) {
    if (!/^[0-9a-f]{1,4}$/.test(all[i])) return "";
    out += binary(parseInt(all[i], 16), 16);
  }
  if (/^0{80}1{16}/.test(out)) return "4" + out.substring(96);
  return "6" + out;
}

function bits4(host) {
  var parts = host.split("."), out = "";
  if (parts.length !== 4) return "";
  for (var i = 0; i < 4; i++) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(parts[i]) || parts[i] > 255) return "";
    out += binary(parseInt(parts[i], 10), 8);
  }
  return out;
}

function binary(n, width) {
  var s = n.toString(2);
  while (s.length < width) s = "0" + s;
  return s;
}

function hex(bits, from) { return parseInt(bits.substring(from, from + 16), 2).toString(16); }
`
