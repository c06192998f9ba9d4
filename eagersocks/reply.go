package eagersocks

import (
	"fmt"
	"io"
	"net/netip"

	"tunnels/internal/code"
	"tunnels/internal/socksaddr"
)

// AppendReply appends the SOCKS5 reply (RFC 1928 section 6) with code c. Its address is
// always 0.0.0.0:0, because an eager client does not know the actual one and some
// applications cannot parse other address types.
func AppendReply(b []byte, c code.Code) []byte {
	return appendReply(b, c, netip.AddrPort{})
}

// appendReply appends a reply with the address bound, or 0.0.0.0:0 if it is invalid.
func appendReply(b []byte, c code.Code, bound netip.AddrPort) []byte {
	a := bound.Addr().Unmap()
	if !a.IsValid() {
		a = netip.IPv4Unspecified()
	}
	b = append(b, version, c.Reply(), 0)
	return socksaddr.Append(b, "", a, bound.Port())
}

// ReadReply reads one SOCKS5 reply and nothing after it. It returns code.General for a
// code that SOCKS5 does not define. The error reports only a failure to read the reply,
// whatever the reply's code; it carries code.Protocol if the bytes are not a reply.
func ReadReply(r io.Reader) (code.Code, error) {
	c, err := readReply(r)
	if err != nil {
		return code.General, fmt.Errorf("reading a reply: %w", err)
	}
	return c, nil
}

func readReply(r io.Reader) (code.Code, error) {
	buf := make([]byte, headSize+socksaddr.MaxSize)
	if _, err := io.ReadFull(r, buf[:headSize+1]); err != nil {
		return 0, err
	}
	size, ok := socksaddr.Size(buf[3], buf[headSize])
	switch {
	case buf[0] != version:
		return 0, malformed("version is 0x%02x, want 0x05", buf[0])
	case buf[2] != 0:
		return 0, malformed("reserved byte is 0x%02x, want 0x00", buf[2])
	case !ok:
		return 0, malformed("address type 0x%02x is not supported", buf[3])
	}
	if _, err := io.ReadFull(r, buf[headSize+1:headSize+size+2]); err != nil {
		return 0, cutShort(err)
	}
	if c := code.Code(buf[1]); c <= code.AddressUnsupported {
		return c, nil
	}
	return code.General, nil
}
