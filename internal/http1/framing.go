package http1

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Framing says where the body of an answer ends.
type Framing struct {
	HasBody bool
	Chunked bool
	Length  int64 // -1 if the answer has none, or if it means nothing
	// Codings are those beneath chunked, which is not among them.
	Codings []string
	// Final reports whether no further answer can follow on the connection.
	Final bool
}

// Framing finds out where the body ends (RFC 9112 section 6.3). Codings win over a
// length. Where that section leaves it open, programs in use decide: a coding of
// HTTP/1.0 counts, "identity" does not, and chunked need not be the last coding nor be
// there once. method is that of the request.
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

// parseLengths returns the one length that the values say, -1 if there is none or it
// is larger than can be counted. One that is no number is none: browsers read on to the
// end of the connection.
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
