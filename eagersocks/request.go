package eagersocks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"tunnels/internal/code"
	"tunnels/internal/socksaddr"
)

// Command is the kind of request. Its values are defined in RFC 1928 section 4.
type Command uint8

// Commands.
const (
	Connect Command = 1 // a stream to the target
	UDP     Command = 3 // datagrams
)

// String returns the command in lower case.
func (c Command) String() string {
	switch c {
	case Connect:
		return "connect"
	case UDP:
		return "udp"
	}
	return fmt.Sprintf("command 0x%02x", uint8(c))
}

// Option is additional information about a request. Options of unknown types are kept
// and ignored.
type Option struct {
	Type  uint8
	Value []byte
}

// Request is the purpose of a session.
type Request struct {
	Command Command
	// Target is the destination. Its port may be 0 only in a UDP request.
	Target Address
	// ReplyWanted requests one SOCKS5 reply from the exit, before the data. If false,
	// the request is eager: there is no reply.
	ReplyWanted bool
	// Options may take up to 1 KiB in total, each with three bytes of overhead.
	Options []Option

	asker Asker // nil if the request did not come from a Listener
}

const (
	version = 5

	flagReply   = 1 << 0
	flagOptions = 1 << 1
	flagsKnown  = flagReply | flagOptions

	headSize     = 4    // version, command, flags, address type
	optionHead   = 3    // type u8, length u16
	optionsLimit = 1024 // maximum total size of the options
)

// AppendBinary appends the request in its wire format. It fails, with a code.Error, if
// ReadRequest would reject it.
func (r *Request) AppendBinary(b []byte) ([]byte, error) {
	target, err := r.checked()
	if err != nil {
		return b, fmt.Errorf("writing a request: %w", err)
	}
	size := 0
	for _, o := range r.Options {
		size += optionHead + len(o.Value)
	}
	if size > optionsLimit {
		return b, fmt.Errorf("writing a request: %w", malformed("options take %d bytes; want at most %d", size, optionsLimit))
	}
	var flags byte
	if r.ReplyWanted {
		flags |= flagReply
	}
	if size > 0 {
		flags |= flagOptions
	}
	b = append(b, version, byte(r.Command), flags)
	b = target.AppendTo(b)
	if size == 0 {
		return b, nil
	}
	b = binary.BigEndian.AppendUint16(b, uint16(size))
	for _, o := range r.Options {
		b = append(b, o.Type)
		b = binary.BigEndian.AppendUint16(b, uint16(len(o.Value)))
		b = append(b, o.Value...)
	}
	return b, nil
}

// checked returns the target in canonical form if command and target are valid.
func (r *Request) checked() (Address, error) {
	switch r.Command {
	case Connect:
		return NewAddress(r.Target.Host, r.Target.Port)
	case UDP:
		return socksaddr.NewAnyPort(r.Target.Host, r.Target.Port)
	}
	return Address{}, &code.Error{Code: code.CommandUnsupported, Text: r.Command.String() + " is not supported"}
}

// ReadRequest reads one request and nothing after it, in two reads, or three if it has
// options. The error is io.EOF if no byte was read, and carries a code (code.Of) if the
// request is invalid. AppendBinary encodes a request that was accepted as the same
// bytes.
func ReadRequest(r io.Reader) (*Request, error) {
	req, err := readRequest(r)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("reading a request: %w", err)
	}
	return req, err
}

func readRequest(r io.Reader) (*Request, error) {
	// Read the head and the first byte of the address, which may be its length. No
	// request is shorter than that.
	buf := make([]byte, headSize+socksaddr.MaxSize+2)
	if _, err := io.ReadFull(r, buf[:headSize+1]); err != nil {
		return nil, err
	}
	flags, atyp := buf[2], buf[3]
	size, ok := socksaddr.Size(atyp, buf[headSize])
	switch {
	case buf[0] != version:
		return nil, malformed("version is 0x%02x, want 0x05", buf[0])
	case flags&^flagsKnown != 0:
		return nil, malformed("unknown flags 0x%02x", flags)
	case !ok:
		return nil, unsupportedType(atyp)
	}
	end := headSize + size + 2
	rest := end
	if flags&flagOptions != 0 {
		rest += 2
	}
	if _, err := io.ReadFull(r, buf[headSize+1:rest]); err != nil {
		return nil, cutShort(err)
	}
	target, err := socksaddr.Decode(atyp, buf[headSize:end])
	if err != nil {
		return nil, err
	}
	req := &Request{Command: Command(buf[1]), Target: target, ReplyWanted: flags&flagReply != 0}
	if _, err := req.checked(); err != nil {
		return nil, err
	}
	if flags&flagOptions != 0 {
		req.Options, err = readOptions(r, int(binary.BigEndian.Uint16(buf[end:rest])))
	}
	return req, err
}

// readOptions reads n bytes of options.
func readOptions(r io.Reader, n int) ([]Option, error) {
	if n == 0 || n > optionsLimit {
		return nil, malformed("options take %d bytes, want 1 to %d", n, optionsLimit)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, cutShort(err)
	}
	var options []Option
	for len(b) > 0 {
		if len(b) < optionHead {
			return nil, malformed("option is %d bytes long, want at least %d", len(b), optionHead)
		}
		size := int(binary.BigEndian.Uint16(b[1:]))
		if size > len(b)-optionHead {
			return nil, malformed("option 0x%02x has length %d, but only %d bytes are left", b[0], size, len(b)-optionHead)
		}
		options = append(options, Option{b[0], b[optionHead : optionHead+size]})
		b = b[optionHead+size:]
	}
	return options, nil
}

// cutShort returns the error for a read that failed midway: io.EOF becomes
// io.ErrUnexpectedEOF.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func malformed(format string, a ...any) error {
	return &code.Error{Code: code.Protocol, Text: fmt.Sprintf(format, a...)}
}
