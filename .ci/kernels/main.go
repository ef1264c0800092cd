// Command kernels runs the tests of packages on kernels of Debian's releases, each in a virtual machine of its own:
//
//	go tool kernels --kernels bookworm,trixie,newest ./dataplane
//
// It downloads the kernels' packages, packs their modules, the test binaries and the demo into an initramfs, boots that in QEMU and
// reads from a serial port what the tests and the demo say. It needs no root. It exits with 0 if all tests passed and the demo
// reproduced all its claims on all kernels, with 1 if not, with 2 on bad usage, and with 3 if a kernel could not be tried.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	exitPassed = iota
	exitFailed
	exitUsage
	exitNotTested
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	chosen   []choice
	patterns []string
	mirror   mirror
	machine  machine
	only     string
	demo     string // demoOn, demoOff or demoOnly
	echo     bool   // what the machines say, while they say it
}

func run(ctx context.Context, args []string, out, progress io.Writer) int {
	o, err := parseOptions(args, progress)
	if errors.Is(err, flag.ErrHelp) {
		return exitPassed
	}
	if err != nil {
		fmt.Fprintln(progress, "kernels:", err)
		return exitUsage
	}
	results, err := o.tryAll(ctx, progress)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	return conclude(out, results, err)
}

// conclude reports on the kernels that were tried. An error is why there are no others.
func conclude(out io.Writer, results []result, err error) int {
	code := exitPassed
	if len(results) > 0 {
		code = report(out, results)
	}
	if err != nil {
		fmt.Fprintf(out, "NOT TESTED: %s\n", err)
		code = cmp.Or(code, exitNotTested)
	}
	return code
}

func parseOptions(args []string, usage io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("kernels", flag.ContinueOnError)
	flags.SetOutput(usage)
	names := flags.String("kernels", "bookworm,trixie,newest", "kernels to run on, separated by commas")
	flags.StringVar(&o.only, "run", "", "run only the tests that match this pattern (as of go test)")
	flags.StringVar(&o.demo, "demo", demoOn, "run the demo after the tests: yes, no, or only, without the tests")
	flags.BoolVar(&o.echo, "v", false, "print what the machines say, while they say it")
	flags.StringVar(&o.mirror.url, "mirror", "https://deb.debian.org", "mirror of debian/ and debian-security/")
	flags.StringVar(&o.mirror.folder, "cache", "", "where downloads are kept (default $XDG_CACHE_HOME/dsrlab/kernels)")
	flags.StringVar(&o.machine.accelerator, "accel", "auto", "kvm, tcg, or auto: KVM where it works")
	flags.DurationVar(&o.machine.timeout, "timeout", 35*time.Minute, "for each kernel, from boot to power-off")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.patterns = flags.Args()
	var problems []error
	switch {
	case !slices.Contains([]string{demoOn, demoOff, demoOnly}, o.demo):
		problems = append(problems, fmt.Errorf("demo %q: want yes, no or only", o.demo))
	case o.demo == demoOnly:
		o.patterns = nil
	case len(o.patterns) == 0:
		problems = append(problems, errors.New("no package given: want one or more, such as ./dataplane"))
	}
	if !slices.Contains([]string{"auto", "kvm", "tcg"}, o.machine.accelerator) {
		problems = append(problems, fmt.Errorf("accel %q: want auto, kvm or tcg", o.machine.accelerator))
	}
	if o.machine.timeout <= 0 {
		problems = append(problems, fmt.Errorf("timeout %s: must be more than 0", o.machine.timeout))
	}
	var known []string
	for _, c := range choices() {
		known = append(known, c.name)
	}
	for name := range strings.SplitSeq(*names, ",") {
		if i := slices.Index(known, name); i >= 0 {
			o.chosen = append(o.chosen, choices()[i])
		} else {
			problems = append(problems, fmt.Errorf("kernel %q: want one of %s", name, strings.Join(known, ", ")))
		}
	}
	if o.mirror.folder == "" {
		var err error
		if o.mirror.folder, err = defaultFolder(); err != nil {
			problems = append(problems, err)
		}
	}
	return o, errors.Join(problems...)
}

// missing names the programs that this machine lacks.
func missing() error {
	var problems []error
	for _, need := range []struct{ program, debPackage string }{
		{"qemu-system-x86_64", "qemu-system-x86"},
		{"dpkg-deb", "dpkg"},
		{"go", "golang"},
	} {
		if _, err := exec.LookPath(need.program); err != nil {
			problems = append(problems, fmt.Errorf("%s is missing (in Debian: apt-get install %s)", need.program, need.debPackage))
		}
	}
	return errors.Join(problems...)
}

// tryAll tries the kernels. An error is about all of them, or about those that are not among the results.
func (o *options) tryAll(ctx context.Context, progress io.Writer) ([]result, error) {
	if err := missing(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.mirror.folder, 0o755); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "kernels-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	say := log.New(progress, "", 0)
	say.Println("building:", strings.Join(slices.Concat(o.patterns, o.demos()), " "))
	b, err := build(ctx, folder, o.patterns, len(o.demos()) > 0)
	if err != nil {
		return nil, err
	}
	tried := make([]*result, len(o.chosen))
	var group errgroup.Group
	group.SetLimit(o.atATime())
	for i, c := range o.chosen {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r := result{kernel: c.name}
			own, err := os.MkdirTemp(folder, c.name+"-")
			if r.err = err; err == nil {
				r.err = o.try(ctx, &r, c, b, own, say)
				_ = os.RemoveAll(own) // the next kernel needs the room; what is left goes with the folder
			}
			if ctx.Err() == nil {
				tried[i] = &r
			}
			return ctx.Err()
		})
	}
	err = group.Wait()
	var results []result
	for _, r := range tried {
		if r != nil {
			results = append(results, *r)
		}
	}
	return results, err
}

// atATime is how many machines run side by side: one for each CPU, for an emulated machine uses no more than one. With KVM it uses two, and the
// machines share them, which no test minds. Where they are listened to it is one, or nobody could tell who says what.
func (o *options) atATime() int {
	if o.echo {
		return 1
	}
	return runtime.GOMAXPROCS(0)
}

// demos names the demo, if it is to be run.
func (o *options) demos() []string {
	if o.demo == demoOff {
		return nil
	}
	return []string{demoName}
}

// try runs the tests and the demo on one kernel. An error means that it could not be tried.
func (o *options) try(ctx context.Context, r *result, c choice, b binaries, folder string, say *log.Logger) error {
	say.Printf("%s: fetching", c.name)
	k, err := fetchKernel(ctx, o.mirror, c, filepath.Join(folder, "kernel"))
	if err != nil {
		return err
	}
	r.version, r.suite = k.version, k.suite
	// A test that hangs is told so by its own binary, while there is time to say where.
	arguments := []string{"-test.v=test2json", "-test.short", "-test.timeout=" + testTimeout(o.machine.timeout, len(b.demo) > 0).String(), "-test.run=" + o.only}
	m := o.machine
	if o.echo {
		m.echo = say.Writer()
	}
	m.image, m.initramfs = k.image, filepath.Join(folder, "initramfs")
	if err := writeInitramfs(m.initramfs, b, k.modules, arguments); err != nil {
		return err
	}
	say.Printf("%s: running on %s (%s), for %s at most", c.name, k.version, k.suite, m.timeout)
	start := time.Now()
	said, err := m.run(ctx, folder)
	if err != nil {
		return err
	}
	r.took, r.accelerator = time.Since(start), said.accelerator
	if r.verdict, err = judge(said, func(output []byte) ([]byte, error) { return testEvents(ctx, output) }); err != nil {
		return err
	}
	// At once, for who ends this before the last kernel.
	say.Printf("%s: %d passed, %d failed, %d skipped", c.name, r.verdict.passed, len(r.verdict.failures), len(r.verdict.skipped))
	return nil
}

// testTimeout is how long the tests of a package may take where all that is done on a kernel may take a time.
func testTimeout(all time.Duration, withDemo bool) time.Duration {
	if withDemo && all > demoTimeout {
		all -= demoTimeout
	}
	return all * 9 / 10
}
