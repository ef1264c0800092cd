package results

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dsrlab/dsrlab/internal/words"
)

//go:embed claims.yaml reference
var embedded embed.FS

// Claim is a sentence of the talk that a lab checks.
type Claim struct {
	ID string `yaml:"id" json:"id"`
	// Slides are the numbers of the slides that say it.
	Slides []int `yaml:"slides" json:"slides"`
	// Text is the claim in this project's words.
	Text string `yaml:"text" json:"text"`
	// Measured is what a lab has to measure.
	Measured string `yaml:"measured" json:"measured"`
	// Expectation is what must come out for "reproduced".
	Expectation string `yaml:"expectation" json:"expectation"`
	// Lab is the folder name of the lab that measures it.
	Lab string `yaml:"lab" json:"lab"`
	// Variant of the lab; several that are compared are joined by ", ".
	Variant string `yaml:"variant" json:"variant"`
}

// Slide lists the slides as text, as in "4, 5".
func (c Claim) Slide() string {
	parts := make([]string, len(c.Slides))
	for i, slide := range c.Slides {
		parts[i] = strconv.Itoa(slide)
	}
	return strings.Join(parts, ", ")
}

// Claims are all claims, in the order of the talk's topics.
type Claims []Claim

// Find is the claim with an id.
func (c Claims) Find(id string) (Claim, bool) {
	i := slices.IndexFunc(c, func(claim Claim) bool { return claim.ID == id })
	if i < 0 {
		return Claim{}, false
	}
	return c[i], true
}

// WithoutLab returns the claims whose lab is not in labs.
func (c Claims) WithoutLab(labs []string) Claims {
	return slices.DeleteFunc(slices.Clone(c), func(claim Claim) bool { return slices.Contains(labs, claim.Lab) })
}

// LoadClaims reads the claims that are built into the program (claims.yaml).
func LoadClaims() (Claims, error) {
	data, err := embedded.ReadFile("claims.yaml")
	if err != nil {
		return nil, fmt.Errorf("load claims: %w", err)
	}
	return ParseClaims(data, "claims.yaml")
}

// Reference is the folder of the recorded runs that are built into the program (results/reference).
func Reference() fs.FS {
	sub, err := fs.Sub(embedded, "reference")
	if err != nil {
		return embed.FS{} // cannot be: the name is valid
	}
	return sub
}

// ParseClaims reads a file of claims, strictly: unknown fields, missing ones and doubled ids are errors, all reported at
// once. File is what messages call it.
func ParseClaims(data []byte, file string) (Claims, error) {
	var document struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Claims     Claims `yaml:"claims"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("is empty")
		}
		return nil, fmt.Errorf("parse %s: %w", file, err)
	}
	var errs []error
	if document.APIVersion != "dsrlab.dev/v1alpha1" {
		errs = append(errs, fmt.Errorf("%s: apiVersion: %q, want dsrlab.dev/v1alpha1", file, document.APIVersion))
	}
	if document.Kind != "Claims" {
		errs = append(errs, fmt.Errorf("%s: kind: %q, want Claims", file, document.Kind))
	}
	for i, claim := range document.Claims {
		for _, err := range claim.check(document.Claims[:i]) {
			errs = append(errs, fmt.Errorf("%s: claims[%d] (%s): %w", file, i, claim.ID, err))
		}
	}
	if len(document.Claims) == 0 {
		errs = append(errs, fmt.Errorf("%s: claims: none", file))
	}
	if err := decoder.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
		errs = append(errs, fmt.Errorf("%s: holds more than one document, want one", file))
	}
	return document.Claims, errors.Join(errs...)
}

func (c Claim) check(before Claims) (errs []error) {
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !regexp.MustCompile(`^[A-Z][A-Z0-9]*-[0-9]+$`).MatchString(c.ID) {
		fail("id: %q, want capitals, a dash and a number, as in SNAT-1", c.ID)
	}
	if _, twice := before.Find(c.ID); twice {
		fail("id: %s is there twice", c.ID)
	}
	if len(c.Slides) == 0 {
		fail("slides: none")
	}
	for i, slide := range c.Slides {
		if slide < 1 || i > 0 && slide <= c.Slides[i-1] {
			fail("slides: %s, want numbers from 1 that rise", words.List(c.Slides))
			break
		}
	}
	for _, field := range []struct{ name, value string }{
		{"text", c.Text}, {"measured", c.Measured}, {"expectation", c.Expectation},
	} {
		if !strings.HasSuffix(field.value, ".") {
			fail("%s: %q, want a sentence", field.name, field.value)
		}
	}
	if !regexp.MustCompile(`^[0-9]{2}-[a-z0-9-]+$`).MatchString(c.Lab) {
		fail("lab: %q, want the folder name of a lab, as in 01-source-ip", c.Lab)
	}
	if c.Variant == "" {
		fail("variant: is empty")
	}
	return errs
}
