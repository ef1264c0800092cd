package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/dsrlab/dsrlab/dataplane"
	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/console"
	"github.com/dsrlab/dsrlab/labs/proxies"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/labs/testbed"
	"github.com/dsrlab/dsrlab/results"
	"github.com/dsrlab/dsrlab/topologies/netns"
)

// newLabCommand lists and runs labs.
func newLabCommand(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "lab", Short: "List and run the labs, and begin one of your own"}
	return group(cmd, newLabListCommand(s), newLabShowCommand(s), newLabRunCommand(s), newLabValidateCommand(s), newLabNewCommand(s))
}

func newLabShowCommand(s streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "show LAB", Short: "Show a lab: question, variants, steps, expectations", Args: oneArg,
		RunE: func(_ *cobra.Command, args []string) error {
			lab, err := labs.Find(args[0])
			if err != nil {
				return usageError(err)
			}
			return printAs(s.out, output, lab, func(w io.Writer) {
				if document, err := yaml.Marshal(lab); err == nil {
					fmt.Fprint(w, string(document))
				}
			})
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func newLabRunCommand(s streams) *cobra.Command {
	o := runOptions{}
	var all bool
	cmd := &cobra.Command{
		Use: "run LAB... | --all", Short: "Run labs and record what they measure",
		Args: func(cmd *cobra.Command, args []string) error {
			if all {
				return noArgs(cmd, args)
			}
			return minArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if all {
				if args, err = labs.Catalogue(); err != nil {
					return err
				}
			}
			o.all = all
			return runLabs(cmd, s, o, args)
		},
	}
	o.flags(cmd)
	faultFlag(cmd, &o.fault)
	cmd.Flags().StringVar(&o.router, "router", "builtin", "the router's BGP daemon: builtin, or bird where it is installed")
	cmd.Flags().StringVar(&o.proxy, "proxy", "builtin", "the proxies of labs 04 and 05: builtin, or nginx or haproxy where they are installed and can do what the lab needs")
	cmd.Flags().BoolVar(&all, "all", false, "run all labs of the catalogue")
	return cmd
}

// runOptions are the flags of every command that runs labs.
type runOptions struct {
	output, runs, stateDir, router, proxy, hook, fault, scale string
	repetitions                                               int
	on                                                        substrate
	wait                                                      waitFlag
	// verbose adds the evidence to what is printed in the end; all are the labs that run all there are.
	verbose, all bool
}

func (o *runOptions) flags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.output, "output", "o", "text", "what is printed on stdout: text, or the summaries as json or yaml")
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "print the evidence of each verdict, too")
	cmd.Flags().StringVar(&o.runs, "runs", "runs", "folder for the recorded runs")
	cmd.Flags().StringVar(&o.stateDir, "state-dir", netns.DefaultStateDir, "where testbeds are kept while they run")
	hookFlag(cmd, &o.hook)
	o.on.labFlags(cmd)
	o.wait.flag(cmd)
	cmd.Flags().StringVar(&o.scale, "scale", "", "divide the rates of all links: 1 (the topology's), 1/2, 1/5, 1/10 or 1/20 (default: the largest that this machine carries now)")
	cmd.Flags().IntVar(&o.repetitions, "repetitions", 0, "repetitions of every phase (default: what the lab says)")
}

// runLabs runs labs one after the other. It goes on when one fails, and returns the worst outcome.
func runLabs(cmd *cobra.Command, s streams, o runOptions, names []string) error {
	story := s.out
	if o.output != "text" {
		story = s.err
	}
	if o.repetitions < 0 {
		return usageError(fmt.Errorf("--repetitions: found %d (want 1 or more, or 0 for what the lab says)", o.repetitions))
	}
	scale, err := o.parseScale()
	if err != nil {
		return err
	}
	engine, err := proxies.ParseEngine(o.proxy)
	if err != nil {
		return usageError(fmt.Errorf("--proxy: %w", err))
	}
	all, err := lookupLabs(o, names)
	if err != nil {
		return err
	}
	if o.on.isCluster() {
		return runOnCluster(cmd, s, o, story, all)
	}
	if err := o.on.cluster.check(cmd); err != nil {
		return err
	}
	on, err := o.on.kind()
	if err != nil {
		return err
	}
	if err := requireRoot("running a lab"); err != nil {
		return err
	}
	release, err := netns.AcquireMachine(cmd.Context(), o.wait.waiting(s))
	if err != nil {
		return err
	}
	defer release()
	if err := mustUndo(cmd.Context()); err != nil {
		return err
	}
	narrator := newConsole(story, s.err)
	runner := &labs.Runner{
		Testbed: testbed.Options{StateDir: o.stateDir, Keep: o.on.keep, NodeImage: o.on.image, Log: notices(narrator.Messages(s.err)), OnStep: o.on.steps(s)}, Substrate: on,
		RunsDir: o.runs, Repetitions: o.repetitions, Scale: scale, Proxy: engine, Narrator: narrator, Waiting: o.wait.waiting(s),
	}
	var summaries []results.Summary
	for _, lab := range all {
		summary, err := runner.Run(cmd.Context(), lab)
		if err != nil {
			return upError(err)
		}
		summaries = append(summaries, summary)
		if cmd.Context().Err() != nil {
			break
		}
	}
	if err := printSummaries(s, o, summaries); err != nil {
		return err
	}
	return outcome(summaries)
}

// parseScale is the scale that was asked for; 0 if none was.
func (o *runOptions) parseScale() (labs.Scale, error) {
	if o.scale == "" {
		return 0, nil
	}
	scale, err := labs.ParseScale(o.scale)
	if err != nil {
		return 0, usageError(fmt.Errorf("--scale: %w", err))
	}
	return scale, nil
}

// lookupLabs reads labs, of the catalogue or of files, as the options have them, and makes sure that they can be recorded.
func lookupLabs(o runOptions, names []string) ([]*labs.Lab, error) {
	var all []*labs.Lab
	errs := []error{checkRunsDir(o.runs, os.Geteuid() == 0 || o.on.isCluster())}
	for _, name := range names {
		lab, err := labs.Find(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := lab.UseHook(dataplane.Hook(o.hook)); err != nil {
			return nil, usageError(fmt.Errorf("--hook: %w", err))
		}
		if err := lab.UseFault(dataplane.Fault(o.fault)); err != nil {
			return nil, usageError(fmt.Errorf("--fault: %w", err))
		}
		switch o.router {
		case "", "builtin":
		case "bird":
			lab.UseBird()
		default:
			return nil, usageError(fmt.Errorf("--router: unknown router %q (want builtin or bird)", o.router))
		}
		all = append(all, lab)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usageError(err)
	}
	return all, nil
}

// hookFlag is where our data path takes packets from the network.
func hookFlag(cmd *cobra.Command, hook *string) {
	cmd.Flags().StringVar(hook, "hook", "", "where our data path takes packets from the network: tc, or xdp where the driver has it (default: what the lab says, else tc)")
}

// faultFlag breaks our data path on purpose.
func faultFlag(cmd *cobra.Command, fault *string) {
	cmd.Flags().StringVar(fault, "fault", "", "break our data path in mode dsr on purpose: no-option (the LB node tells the pod node no frontend), "+
		"no-reply-rewrite (answers keep the pod's address) or snat (the LB node forwards as SNAT does)")
}

// notices are told on stderr: what is done in another way than asked for.
func notices(stderr io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// newConsole draws progress bars only where a person sees them.
func newConsole(story, progress io.Writer) *console.Console {
	c := &console.Console{Out: story, Color: terminal.Colored(story)}
	if terminal.MovesCursor(progress) {
		c.Progress = progress
	}
	return c
}

func printSummaries(s streams, o runOptions, summaries []results.Summary) error {
	if o.output == "text" {
		fmt.Fprintln(s.out)
		if err := console.Verdicts(s.out, summaries, console.VerdictOptions{Verbose: o.verbose, All: o.all}); err != nil {
			return err
		}
		if !o.verbose && len(summaries) > 0 {
			fmt.Fprintf(s.out, "\n%s\n", terminal.Wrap("The evidence: dsrlab results show "+evidenceAt(o, summaries)+", or -v here.", terminal.ColumnsOr(s.out, terminal.TableColumns)))
		}
		return nil
	}
	var document any = summaries
	if len(summaries) == 1 {
		document = summaries[0]
	}
	return printAs(s.out, o.output, document, nil)
}

// evidenceAt is how `results show` finds what was run.
func evidenceAt(o runOptions, summaries []results.Summary) string {
	name := "LAB"
	if len(summaries) == 1 {
		name = summaries[0].Lab
	}
	if o.runs != defaultRunsDir {
		name += " --runs " + o.runs
	}
	return name
}

// outcome is the worst of all, as an error with its exit code.
func outcome(summaries []results.Summary) error {
	for _, want := range []results.Result{results.Failed, results.Unsupported, results.Untested} {
		for _, summary := range summaries {
			if summary.Result == want {
				return resultError(summary)
			}
		}
	}
	return nil
}

// printAs writes a value as json or yaml, or as the table that it is otherwise.
func printAs(w io.Writer, output string, value any, asTable func(io.Writer)) error {
	switch output {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	case "yaml":
		document, err := yaml.Marshal(value)
		if err == nil {
			_, err = w.Write(document)
		}
		return err
	case "table":
		asTable(w)
		return nil
	}
	return usageError(fmt.Errorf("--output: unknown format %q (want table, json or yaml)", output))
}
