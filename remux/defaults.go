package remux

import "cmp"

// Defaults returns a Config with every default filled in.
func Defaults() Config { return Config{}.defaults() }

// connMaxName returns the name of ConnMax in messages.
func (c *Config) connMaxName() string { return cmp.Or(c.ConnMaxName, "the limit") }
