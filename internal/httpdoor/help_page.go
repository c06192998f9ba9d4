package httpdoor

import (
	"net"
	"net/http"
	"strings"
)

// helpPage returns the page that explains how to set up browsers and programs.
func (f *Door) helpPage(where string) *page {
	host, port, _ := net.SplitHostPort(where) // where always has both
	browsers, login, note := helpSOCKS, "", ""
	ssh := "ssh -o ProxyCommand='nc -X 5 -x {where} %h %p' host\n"
	if f.users != nil {
		browsers, login = helpHTTP, "NAME:PASSWORD@"
		ssh = "" // nc does not support passwords
		note = "<p>This proxy requires a name and a password. Browsers support them for HTTP proxies only, not for SOCKS.</p>"
	}
	text := strings.Replace(strings.Replace(helpText, "{note}", note, 1), "{browsers}", browsers, 1)
	text = strings.Replace(text, "{ssh}", ssh, 1)
	text = strings.NewReplacer("{where}", where, "{host}", host, "{port}", port, "{login}", login).Replace(text)
	return &page{
		status: http.StatusOK,
		kind:   "text/html; charset=utf-8",
		fields: []field{{"Cache-Control", "no-cache"}, {"Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"}},
		body:   text,
	}
}

const helpText = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>TunneLS at {where}</title>
<meta name="viewport" content="width=device-width">
<style>
body { font: 16px/1.5 sans-serif; max-width: 46em; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
code, pre { font: 14px/1.5 monospace; background: #f2f2f2; padding: .1em .3em }
pre { padding: .6em; overflow-x: auto } dt { font-weight: bold; margin-top: .8em }
</style></head><body>
<h1>TunneLS</h1>
<p>This port is a proxy: SOCKS5, SOCKS4a and HTTP on one address, <code>{where}</code>.
Connections through it leave at the other end of the tunnel, where names are also resolved.</p>
{note}
<h2>Browsers</h2>
<dl>
<dt>Any browser (PAC URL)</dt>
<dd>Automatic proxy configuration: <code>http://{where}/proxy.pac</code></dd>
{browsers}<dt>Windows</dt>
<dd>Settings, Network, Proxy: &ldquo;Use setup script&rdquo; with the PAC address; or &ldquo;Use a proxy server&rdquo;
with <code>{host}</code> and <code>{port}</code>, which is the HTTP proxy.</dd>
</dl>
<h2>Programs</h2>
<pre>curl -x socks5h://{login}{where} https://example.com/
git -c http.proxy=socks5h://{login}{where} clone https://example.com/some.git
{ssh}apt -o Acquire::http::Proxy=http://{login}{where} -o Acquire::https::Proxy=http://{login}{where} update
pip --proxy http://{login}{where} install something
export http_proxy=http://{login}{where} https_proxy=http://{login}{where} all_proxy=socks5h://{login}{where}</pre>
</body></html>
`

// helpSOCKS is the browser section of the help page if no password is required.
const helpSOCKS = `<dt>Firefox</dt>
<dd>Settings, Network Settings, Manual: SOCKS Host <code>{host}</code>, Port <code>{port}</code>, SOCKS v5, and tick
&ldquo;Proxy DNS when using SOCKS v5&rdquo;. Or &ldquo;Automatic proxy configuration URL&rdquo;.</dd>
<dt>Chrome, Chromium, Edge</dt>
<dd>They use the system proxy settings. On a command line: <code>chromium --proxy-server=socks5://{where}</code></dd>
<dt>Safari and macOS</dt>
<dd>System Settings, Network, Details, Proxies: SOCKS proxy <code>{host}</code>, port <code>{port}</code>;
or &ldquo;Automatic proxy configuration&rdquo;.</dd>
`

// helpHTTP is the browser section of the help page if a password is required.
const helpHTTP = `<dt>Firefox</dt>
<dd>Settings, Network Settings, Manual: HTTP Proxy <code>{host}</code>, Port <code>{port}</code>, and tick
&ldquo;Also use this proxy for HTTPS&rdquo;. Or &ldquo;Automatic proxy configuration URL&rdquo;.</dd>
<dt>Chrome, Chromium, Edge</dt>
<dd>They use the system proxy settings. On a command line: <code>chromium --proxy-server=http://{where}</code></dd>
<dt>Safari and macOS</dt>
<dd>System Settings, Network, Details, Proxies: Web proxy (HTTP) and Secure web proxy (HTTPS) <code>{host}</code>,
port <code>{port}</code>; or &ldquo;Automatic proxy configuration&rdquo;.</dd>
`
