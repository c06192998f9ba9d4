package http1

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Framing describes where the body of a response ends.
type Framing struct {
	HasBody bool
	Chunked bool
	Length  int64 // -1 if the response has none, or if it is meaningless
	// Codings lists the transfer codings other than chunked.
	Codings []string
	// Final reports that no further response can follow on the connection.
	Final bool
}

// Framing determines where the body ends (RFC 9112 section 6.3). Codings override a
// length. Where that section leaves a choice, Framing follows common implementations:
// codings are honored in HTTP/1.0, "identity" is ignored, and chunked may be repeated
// and need not be the last coding. method is the request's method.
func (a *Answer) Framing(method string) (Framing, error) {
	f := Framing{Length: -1}
	codings, coded := a.codings()
	lengths := a.All("Content-Length")
	f.HasBody = method != http.MethodHead && a.Status >= 200 && a.Status != http.StatusNoContent && a.Status != http.StatusNotModified
	f.Chunked = slices.Contains(codings, "chunked")
	f.Codings = slices.DeleteFunc(codings, func(c string) bool { return c == "chunked" })
	if !coded {
		var err error
		if f.Length, err = parseLengths(lengths); err != nil && f.HasBody {
			return f, err
		}
	}
	connection := Tokens(a.All("Connection"))
	f.Final = slices.Contains(connection, "close") || a.Minor == 0 && !slices.Contains(connection, "keep-alive") ||
		coded && (len(lengths) > 0 || a.Minor == 0 || !f.Chunked) || f.HasBody && !f.Chunked && f.Length < 0 ||
		a.Odd || !f.HasBody && a.Status == http.StatusNoContent && f.Length > 0
	return f, nil
}

// codings returns the transfer codings in lower case, without identity, and whether
// there are any.
func (a *Answer) codings() (all []string, coded bool) {
	all = slices.DeleteFunc(Tokens(a.All("Transfer-Encoding")), func(c string) bool { return c == "identity" || c == "" })
	return all, len(all) > 0
}

// parseLengths returns the single length given by values, or -1 if there is none or it
// is too large to represent. A value that is not a number counts as none, because
// browsers then read to the end of the connection.
func parseLengths(values []string) (int64, error) {
	if len(values) == 0 {
		return -1, nil
	}
	all := Tokens(values)
	for _, v := range all {
		switch number := v != "" && strings.Trim(v, "0123456789") == ""; {
		case !number && len(all) == 1:
			return -1, nil
		case !number:
			return -1, malformed("its Content-Length is not a number")
		case strings.TrimLeft(v, "0") != strings.TrimLeft(all[0], "0"):
			return -1, malformed("it has two Content-Lengths that differ")
		}
	}
	n, err := strconv.ParseInt(all[0], 10, 64)
	if err != nil {
		return -1, nil
	}
	return n, nil
}
