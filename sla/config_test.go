package sla

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConfigShowsNoSecrets(t *testing.T) {
	c := Config{
		Level: "warn", DingTalkToken: "TOKEN", DingTalkSecret: "SECRET",
		DingTalkURL: "https://oapi.example/robot?access_token=TOKEN",
	}
	type nested struct {
		Name string
		Log  Config
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{c, &c, nested{Log: c}, &nested{Log: c}, []Config{c}} {
			got := fmt.Sprintf(format, v)
			if strings.Contains(got, "TOKEN") || strings.Contains(got, "SECRET") ||
				strings.Contains(got, fmt.Sprintf("%x", "TOKEN")) {
				t.Errorf("Sprintf(%q, %T) = %s, with a secret", format, v, got)
			}
			if format != "%x" && !strings.Contains(got, "warn") {
				t.Errorf("Sprintf(%q, %T) = %s, without the level", format, v, got)
			}
		}
	}
	b, err := json.Marshal(c)
	if err != nil || strings.Contains(string(b), "TOKEN") || strings.Contains(string(b), "SECRET") {
		t.Errorf("in JSON: %s, %v", b, err)
	}
	if got := fmt.Sprint(Config{DingTalkToken: "@/etc/token"}); !strings.Contains(got, "@/etc/token") {
		t.Errorf("String() = %s, want the name of the token's file", got)
	}
}

func TestLoggerShowsNoSecrets(t *testing.T) {
	l, _ := start(t, Config{DingTalkToken: "TOKEN", DingTalkSecret: "SECRET"})
	for _, format := range []string{"%v", "%+v", "%#v"} {
		if got := fmt.Sprintf(format, l); strings.Contains(got, "TOKEN") || strings.Contains(got, "SECRET") {
			t.Errorf("Sprintf(%q, Logger) = %s, with a secret", format, got)
		}
	}
}

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "@" + path
	}
	empty := write("empty", " \n")
	pem := write("pem", "-----BEGIN PRIVATE KEY-----\nTOKEN\nSECRET\n-----END PRIVATE KEY-----\n")
	bare := write("bare", "TOKEN\nSECRET\n")
	large := write("large", strings.Repeat("x", maxSecret+1))
	for _, tt := range []struct {
		c    Config
		want []string // parts of the error; empty if the Config is valid
	}{
		{c: Config{}},
		{c: Config{Level: "debug", Format: "text", MaxMB: 1, Backups: 1}},
		{c: Config{DingTalkToken: "TOKEN"}},
		{c: Config{DingTalkToken: "TOKEN", DingTalkURL: "http://127.0.0.1:1/robot"}},
		{c: Config{DingTalkToken: "TOKEN", DingTalkURL: "http://[::1]:1/robot"}},
		{c: Config{DingTalkToken: "TOKEN", DingTalkURL: "http://localhost:1/robot"}},
		{c: Config{DingTalkToken: "TOKEN", DingTalkURL: "https://example.com/robot"}},
		{Config{Level: "loud"}, []string{"-sla.log.level", `"loud"`, "want debug"}},
		{Config{Format: "xml"}, []string{"-sla.log.format", `"xml"`, "want text or json"}},
		{Config{MaxMB: -1}, []string{"-sla.log.max.mb", "-1", "want 1 to"}},
		{Config{MaxMB: maxMB + 1}, []string{"-sla.log.max.mb", "1048577", "want 1 to"}},
		{Config{Backups: -2}, []string{"-sla.log.backups", "-2", "want"}},
		{Config{Level: "loud", Backups: -2}, []string{"-sla.log.level", "-sla.log.backups"}},
		{Config{DingTalkSecret: "SECRET"}, []string{"-sla.dingtalk.token", "want"}},
		{Config{DingTalkToken: "@" + dir + "/none"}, []string{"-sla.dingtalk.token", dir + "/none", "want"}},
		{Config{DingTalkToken: "TOKEN", DingTalkSecret: "@" + dir + "/none"}, []string{"-sla.dingtalk.secret", dir + "/none", "want"}},
		{Config{DingTalkToken: "@" + dir}, []string{"-sla.dingtalk.token", dir}},
		{Config{DingTalkToken: empty}, []string{"-sla.dingtalk.token", empty[1:], "want"}},
		{Config{DingTalkToken: large}, []string{"-sla.dingtalk.token", large[1:], "want"}},
		{Config{DingTalkToken: pem}, []string{"-sla.dingtalk.token", pem[1:], "is a certificate or key (PEM), not a secret"}},
		{Config{DingTalkToken: "TOKEN", DingTalkSecret: pem}, []string{"-sla.dingtalk.secret", pem[1:], "(PEM)"}},
		{Config{DingTalkToken: "-----BEGIN CERTIFICATE-----"}, []string{"-sla.dingtalk.token", "(PEM)"}},
		{Config{DingTalkToken: bare}, []string{"-sla.dingtalk.token", bare[1:], "more than one word"}},
		{Config{DingTalkToken: "TOKEN", DingTalkURL: "robot"}, []string{"-sla.dingtalk.url", "want https"}},
		{Config{DingTalkToken: "TOKEN", DingTalkURL: "https://x/\x00TOKEN"}, []string{"-sla.dingtalk.url", "want https"}},
		{Config{DingTalkToken: "TOKEN", DingTalkURL: "http://example.com/robot"}, []string{"-sla.dingtalk.url", "unencrypted"}},
		{Config{DingTalkToken: "TOKEN", DingTalkURL: "https://x/?access_token=TOKEN"}, []string{"-sla.dingtalk.url", "query"}},
		{Config{DingTalkToken: "TOKEN", DingTalkURL: "https://u:SECRET@x/"}, []string{"-sla.dingtalk.url", "user"}},
	} {
		tt.c.Names = Names{
			Level: "-sla.log.level", Format: "-sla.log.format", MaxMB: "-sla.log.max.mb", Backups: "-sla.log.backups",
			DingTalkToken: "-sla.dingtalk.token", DingTalkSecret: "-sla.dingtalk.secret", DingTalkURL: "-sla.dingtalk.url",
		}
		err := tt.c.Validate()
		if len(tt.want) == 0 {
			if err != nil {
				t.Errorf("%v.Validate() = %v, want nil", tt.c, err)
			}
			continue
		}
		if _, newErr := New(tt.c); fmt.Sprint(newErr) != fmt.Sprint(err) {
			t.Errorf("New(%v) = %v, want Validate's error %v", tt.c, newErr, err)
		}
		text := fmt.Sprint(err)
		for _, part := range tt.want {
			if !strings.Contains(text, part) {
				t.Errorf("%v.Validate() = %q, want %q in it", tt.c, text, part)
			}
		}
		if strings.Contains(text, "TOKEN") || strings.Contains(text, "SECRET") {
			t.Errorf("%v.Validate() = %q, with a secret", tt.c, text)
		}
	}
}

// TestPlainNames checks that messages about a Config without Names use plain words.
func TestPlainNames(t *testing.T) {
	want := "the level: \"loud\" is not a level; want debug, info, warn, error or fatal\n" +
		"the DingTalk token: empty although the DingTalk secret is set; want the robot's access token or @file"
	if err := (Config{Level: "loud", DingTalkSecret: "SECRET"}).Validate(); fmt.Sprint(err) != want {
		t.Errorf("Validate = %v, want %s", err, want)
	}
}

func TestSecretFromFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("TOKEN\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Config{DingTalkToken: "@" + path, DingTalkSecret: "SEC@1"}.settle()
	if err != nil || s.robot.token != "TOKEN" || s.robot.secret != "SEC@1" {
		t.Errorf("settle = %+v, %v, want the token from the file and the literal secret", s.robot, err)
	}
}
