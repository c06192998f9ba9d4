package remux

import "cmp"

// Defaults returns a Config with every default filled in.
func Defaults() Config { return Config{}.defaults() }

// connMaxName returns what messages call ConnMax.
func (c *Config) connMaxName() string { return cmp.Or(c.ConnMaxName, "the limit") }
