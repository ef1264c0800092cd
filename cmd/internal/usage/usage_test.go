package usage

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
)

// even is a flag with an error of its own.
type even struct{}

func (even) String() string   { return "" }
func (even) Set(string) error { return errors.New("want two characters") }
func (even) Type() string     { return "string" }

func TestErrors(t *testing.T) {
	root := &cobra.Command{Use: "dsrlab", SilenceErrors: true, SilenceUsage: true}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return FlagError(err) })
	trace := &cobra.Command{Use: "trace CLIENT FRONTEND", Args: Args(cobra.ExactArgs(2)), Run: func(*cobra.Command, []string) {}}
	trace.Flags().Int("repetitions", 0, "")
	trace.Flags().Uint16("port", 0, "")
	trace.Flags().Float64("rate", 0, "")
	trace.Flags().DurationP("timeout", "t", time.Second, "")
	trace.Flags().Bool("all", false, "")
	trace.Flags().Var(even{}, "even", "")
	root.AddCommand(trace)
	root.SetOut(io.Discard)
	for args, want := range map[string]string{
		"trace a b --repetitions x":                    `--repetitions: found "x" (want a whole number)`,
		"trace a b --repetitions 99999999999999999999": "--repetitions: found 99999999999999999999, which is out of range (want a whole number)",
		"trace a b --port -1":                          `--port: found "-1" (want a whole number, 0 or more)`,
		"trace a b --rate x":                           `--rate: found "x" (want a number)`,
		"trace a b -t 3":                               `--timeout: found "3" (want a time with its unit, as in 500ms or 2s)`,
		"trace a b --all=maybe":                        `--all: found "maybe" (want true or false)`,
		"trace a b --even x":                           `--even: found "x": want two characters`,
		"trace a b --nope":                             "unknown flag: --nope",
		"trace a":                                      "found one argument (want `dsrlab trace CLIENT FRONTEND`)",
		"trace":                                        "found no argument (want `dsrlab trace CLIENT FRONTEND`)",
		"trace a b c":                                  "found 3 arguments (want `dsrlab trace CLIENT FRONTEND`)",
	} {
		root.SetArgs(strings.Fields(args))
		assert.EqualError(t, root.Execute(), want, args)
	}
}
