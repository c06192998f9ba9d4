package crl

import (
	"crypto/x509"
	"math/big"
	"slices"
	"testing"
	"time"

	"tunnels/tls/internal/authority"
)

func FuzzCRL(f *testing.F) {
	ca, err := authority.New(time.Now())
	if err != nil {
		f.Fatal(err)
	}
	entry := x509.RevocationListEntry{SerialNumber: big.NewInt(7), RevocationTime: time.Now()}
	text, err := ca.Revocations(big.NewInt(1), []x509.RevocationListEntry{entry}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(slices.Concat(text, text))
	f.Add(text[:len(text)-20])
	f.Add([]byte("broken"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lists, err := Parse(data, []*x509.Certificate{ca.Cert})
		if err == nil && len(lists) == 0 {
			t.Error("Parse returned neither an error nor a list")
		}
		if _, err := Parse(data, nil); err == nil {
			t.Error("Parse accepted a list without a CA to verify it")
		}
	})
}
