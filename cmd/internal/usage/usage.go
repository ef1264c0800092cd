// Package usage says what is wrong with a command line, to who typed it.
package usage

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// FlagError words an error of the flags: those of a flag's value quote what parsed it.
func FlagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	flag := invalid.GetFlag()
	cause := invalid.Unwrap()
	want := wanted(flag.Value.Type())
	var number *strconv.NumError
	switch {
	case want == "":
		return fmt.Errorf("--%s: found %q: %w", flag.Name, invalid.GetValue(), cause)
	case errors.As(cause, &number) && errors.Is(number.Err, strconv.ErrRange):
		return fmt.Errorf("--%s: found %s, which is out of range (want %s)", flag.Name, invalid.GetValue(), want)
	}
	return fmt.Errorf("--%s: found %q (want %s)", flag.Name, invalid.GetValue(), want)
}

// wanted says what a flag of a type wants; nothing for a type with errors of its own.
func wanted(flagType string) string {
	switch {
	case flagType == "bool":
		return "true or false"
	case flagType == "duration":
		return "a time with its unit, as in " + (500 * time.Millisecond).String() + " or 2s"
	case strings.HasPrefix(flagType, "float"):
		return "a number"
	case strings.HasPrefix(flagType, "uint"):
		return "a whole number, 0 or more"
	case strings.HasPrefix(flagType, "int"):
		return "a whole number"
	}
	return ""
}

// Args is a check of the number of arguments, in place of whose message it shows what the command wants.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if check(cmd, args) == nil {
			return nil
		}
		found := fmt.Sprintf("%d arguments", len(args))
		switch len(args) {
		case 0:
			found = "no argument"
		case 1:
			found = "one argument"
		}
		line := strings.TrimSpace(strings.TrimSuffix(cmd.CommandPath(), cmd.Name()) + cmd.Use)
		return fmt.Errorf("found %s (want `%s`)", found, line)
	}
}
