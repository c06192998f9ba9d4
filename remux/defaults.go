package remux

import "cmp"

// Defaults returns a Config with every default filled in. In a Config that is used, the
// default age and count are stretched while a conn has sessions; those returned here are
// exact, like all that are set.
func Defaults() Config { return Config{}.defaults() }

// connMaxName returns what messages call ConnMax.
func (c *Config) connMaxName() string { return cmp.Or(c.ConnMaxName, "the limit") }
