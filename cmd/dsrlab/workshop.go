package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dsrlab/dsrlab/labs"
	"github.com/dsrlab/dsrlab/labs/terminal"
	"github.com/dsrlab/dsrlab/results"
)

// workshop is where a participant's runs and progress are.
type workshop struct {
	runs, progress string
}

func (w *workshop) file() string {
	if w.progress != "" {
		return w.progress
	}
	return filepath.Join(w.runs, "workshop.json")
}

// newWorkshopCommand leads through the labs' exercises.
func newWorkshopCommand(s streams) *cobra.Command {
	var w workshop
	var output string
	cmd := &cobra.Command{
		Use: "workshop", Short: "Work through the labs: exercises, hints, solutions, and a check of your answers",
		Long: `Lists the labs in order, with the exercises that you have solved. EXERCISE is LAB/ID, as in 01-source-ip/whose.

Answers that are numbers are checked against your own newest run of the lab (--runs); the reference runs that come with dsrlab
don't count. Some exercises have no answer: your newest run must show that you have done them.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			steps, err := w.steps()
			if err != nil {
				return err
			}
			return printAs(s.out, output, steps, func(out io.Writer) { workshopTable(out, steps) })
		},
	}
	outputFlag(cmd, &output)
	cmd.PersistentFlags().StringVar(&w.runs, "runs", defaultRunsDir, "folder of your recorded runs")
	cmd.PersistentFlags().StringVar(&w.progress, "progress", "", "file of your progress (default: workshop.json among the runs)")
	text := func(use, short string, of func(*labs.Exercise) string) *cobra.Command {
		return &cobra.Command{Use: use + " EXERCISE", Short: short, Args: oneArg, RunE: func(_ *cobra.Command, args []string) error {
			_, exercise, err := findExercise(args[0])
			if err != nil {
				return usageError(err)
			}
			fmt.Fprintln(s.out, strings.TrimRight(of(exercise), "\n"))
			return nil
		}}
	}
	cmd.AddCommand(
		text("show", "Show an exercise's task", func(e *labs.Exercise) string { return e.Task }),
		text("hint", "Show a hint", func(e *labs.Exercise) string { return e.Hint }),
		text("solve", "Show how it is done", func(e *labs.Exercise) string { return e.Solve }),
		newVerifyCommand(s, &w),
	)
	return cmd
}

// workshopStep is a lab in the list.
type workshopStep struct {
	Lab       string           `json:"lab"`
	Title     string           `json:"title"`
	Exercises []workshopAnswer `json:"exercises"`
}

// workshopAnswer is an exercise in the list.
type workshopAnswer struct {
	ID     string `json:"id"`
	Solved bool   `json:"solved"`
}

func (w *workshop) steps() ([]workshopStep, error) {
	names, err := labs.Catalogue()
	if err != nil {
		return nil, err
	}
	progress, err := labs.ReadProgress(w.file())
	if err != nil {
		return nil, err
	}
	var all []workshopStep
	for _, name := range names {
		lab, err := labs.Lookup(name)
		if err != nil {
			return nil, err
		}
		step := workshopStep{Lab: name, Title: lab.Metadata.Title}
		for _, e := range lab.Spec.Exercises {
			step.Exercises = append(step.Exercises, workshopAnswer{e.ID, progress.Has(name, e.ID)})
		}
		all = append(all, step)
	}
	return all, nil
}

func workshopTable(w io.Writer, steps []workshopStep) {
	t := terminal.NewTable(w, "LAB", "TITLE", "EXERCISES", "SOLVED").Spaced()
	for _, step := range steps {
		var ids []string
		solved := 0
		for _, e := range step.Exercises {
			mark := "  "
			if e.Solved {
				mark, solved = "✓ ", solved+1
			}
			ids = append(ids, mark+e.ID)
		}
		t.Row(step.Lab, step.Title, strings.Join(ids, "\n"), fmt.Sprintf("%d/%d", solved, len(ids)))
	}
	t.Render()
}

// findExercise reads LAB/ID; LAB may be the path of a lab of one's own.
func findExercise(name string) (*labs.Lab, *labs.Exercise, error) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return nil, nil, fmt.Errorf("exercise %q: want LAB/ID, as in 01-source-ip/whose", name)
	}
	lab, err := labs.Find(name[:i])
	if err != nil {
		return nil, nil, err
	}
	at := slices.IndexFunc(lab.Spec.Exercises, func(e labs.Exercise) bool { return e.ID == name[i+1:] })
	if at < 0 {
		var ids []string
		for _, e := range lab.Spec.Exercises {
			ids = append(ids, e.ID)
		}
		return nil, nil, fmt.Errorf("lab %s has no exercise %q; it has %s", lab.Metadata.Name, name[i+1:], strings.Join(ids, ", "))
	}
	return lab, &lab.Spec.Exercises[at], nil
}

func newVerifyCommand(s streams, w *workshop) *cobra.Command {
	return &cobra.Command{
		Use: "verify EXERCISE [ANSWER]", Short: "Check an answer: exit 0 right, 1 wrong, 2 can't be said", Args: minArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			lab, exercise, err := findExercise(args[0])
			if err != nil {
				return usageError(err)
			}
			right, why, err := exercise.Check(strings.Join(args[1:], " "), w.newestRun(lab.Metadata.Name))
			if errors.Is(err, labs.ErrNoRun) {
				err = fmt.Errorf("%w: sudo dsrlab lab run %s", err, lab.Metadata.Name)
			}
			if err != nil {
				return usageError(err)
			}
			if !right {
				return &exitError{exitFailed, errors.New(why)}
			}
			fmt.Fprintln(s.out, why)
			progress, err := labs.ReadProgress(w.file())
			if err != nil {
				return err
			}
			progress.Add(lab.Metadata.Name, exercise.ID)
			return progress.Write(w.file())
		},
	}
}

// newestRun is the participant's own newest finished run of a lab; nil if there is none.
func (w *workshop) newestRun(lab string) *results.Run {
	entries, err := results.Store{Dir: w.runs}.List()
	if err != nil {
		return nil
	}
	for _, e := range entries { // newest first
		if e.Err == nil && !e.Reference && e.Run.Manifest.Lab == lab && e.Run.State() == results.Finished {
			return e.Run
		}
	}
	return nil
}
