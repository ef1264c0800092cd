package report

import (
	"fmt"
	"regexp"
	"strings"
)

// slides are those of one run, in the order in which they are told.
func (v view) slides(source string) []slide {
	m := v.Run.Manifest
	lab := anchor(m.Lab)
	all := []slide{
		{
			ID: lab, Kind: titleSlide, Heading: v.Title, Text: v.Question,
			Notes: []string{"Lab " + m.Lab + ". On your own machine: dsrlab lab run " + m.Lab},
		},
		v.answerSlide(lab + "-answer"),
	}
	if v.Table != nil {
		all = append(all, tableOf(lab+"-table", v.Table))
	}
	for i, picture := range v.Pictures {
		notes := []string{picture.Caption}
		if picture.Words != "" {
			notes = append(notes, "In figures: "+picture.Words+".")
		}
		all = append(all, slide{
			ID: fmt.Sprintf("%s-picture-%d", lab, i+1), Kind: pictureSlide, Heading: picture.Title, Picture: picture, Notes: notes,
		})
	}
	all = append(all, v.evidenceSlides(lab)...)
	all = append(all, v.methodSlide(lab+"-method"))
	for i := range all {
		all[i].Source = source
	}
	return all
}

// answerSlide has the answer with its figures large, and the verdicts on the claims.
func (v view) answerSlide(id string) slide {
	s := slide{
		ID: id, Kind: answerSlide, Heading: "Answer", Result: v.Summary.Result, Answer: words(v.Answer), Size: size(v.Answer), Reasons: v.Summary.Reasons,
	}
	if v.Answer == "" {
		s.Answer = words("The run came to its end: " + string(v.Summary.Result) + ".")
	}
	for _, c := range v.Claims {
		if c.ID == "" {
			continue
		}
		s.Claims = append(s.Claims, c)
		s.Notes = append(s.Notes, c.ID+" ("+c.Slides()+"), "+string(c.Verdict)+": "+strings.Join(c.Headlines, "; "))
	}
	s.Notes = append(s.Notes, v.Summary.Unclaimed...)
	s.Notes = append(s.Notes, v.Notes...)
	return s
}

func tableOf(id string, table *cellTable) slide {
	return slide{
		ID: id, Kind: tableSlide, Heading: "The table of slides 12 and 21, measured", Table: table,
		Notes: append([]string{"Each cell leads to its evidence."}, table.Notes...),
	}
}

// overview lists labs with their results, a few on each slide.
func overview(v allView) []slide {
	const most = 6 // also of those whose titles take two lines
	var all []slide
	parts := max((len(v.Runs)+most-1)/most, min(len(v.Missing), 1))
	for i := range parts {
		s := slide{
			ID: fmt.Sprintf("labs-%d", i+1), Kind: overviewSlide, Heading: "Labs", Part: part(i, parts),
			Labs: v.Runs[i*len(v.Runs)/parts : (i+1)*len(v.Runs)/parts],
		}
		for _, lab := range s.Labs {
			s.Notes = append(s.Notes, lab.Run.Manifest.Lab+": "+lab.Answer)
		}
		if i == parts-1 && len(v.Missing) > 0 {
			s.Text = "No run came to its end of " + strings.Join(v.Missing, ", ") + "."
		}
		all = append(all, s)
	}
	return all
}

// part says which of several slides one is; nothing if it is the only one.
func part(i, of int) string {
	if of < 2 {
		return ""
	}
	return fmt.Sprintf("%d of %d", i+1, of)
}

// The height in pixels that evidence may take on its slide, and what its parts take. Letters are reckoned wide, as those of a font that
// stands in for one that is missing.
const (
	evidenceHeight  = 515
	claimLine       = 34
	claimLetters    = 74
	rowPadding      = 17
	expectedLine    = 30
	expectedLetters = 52
	smallLine       = 25
	smallLetters    = 66
	comparedLetters = 24
)

// evidenceSlides has of each claim the expectations, as many on a slide as can be read from the last row.
func (v view) evidenceSlides(lab string) []slide {
	evidence := map[string]string{}
	for _, e := range v.Summary.Expectations {
		evidence[anchor(v.Run.Manifest.Lab, e.ID)] = e.ID + ": " + e.Evidence
	}
	var all []slide
	for n, c := range v.Claims {
		heading, text := c.ID, c.Text
		if c.ID == "" {
			heading, text = c.Text, ""
		}
		if c.Note != "" {
			text += " " + c.Note
		}
		parts := split(c.Rows, evidenceHeight-claimLine*lines(text, claimLetters))
		for i, rows := range parts {
			s := slide{
				ID: fmt.Sprintf("%s-evidence-%d-%d", lab, n+1, i+1), Kind: evidenceSlide, Heading: heading, Part: part(i, len(parts)), Claim: c, Rows: rows,
			}
			if i == 0 {
				s.Text = text
			}
			if c.ID != "" {
				s.Notes = append(s.Notes, "From the talk's "+c.Slides()+".")
			}
			for _, row := range rows {
				if e, ok := evidence[row.Anchor]; ok {
					s.Notes = append(s.Notes, e)
				}
			}
			all = append(all, s)
		}
	}
	return all
}

// split parts rows so that each part fits: the first below what the claim says, the others with all of the height.
func split(rows []evidenceRow, height int) [][]evidenceRow {
	parts := [][]evidenceRow{nil}
	for _, row := range rows {
		last := len(parts) - 1
		if height -= row.height(); height < 0 && len(parts[last]) > 0 {
			parts, last, height = append(parts, nil), last+1, evidenceHeight-row.height()
		}
		parts[last] = append(parts[last], row)
	}
	return parts
}

// height is about how many pixels the row takes.
func (r evidenceRow) height() int {
	expected := expectedLine*lines(r.Expected, expectedLetters) +
		smallLine*(lines(r.Variant+": "+r.What, smallLetters)+min(lines(r.Why, smallLetters), whyLines))
	measured := expectedLine
	if r.Compared != "–" {
		measured += smallLine * lines(r.Compared, comparedLetters)
	}
	return rowPadding + max(expected, measured)
}

// whyLines is how many lines of a reason a slide shows; the notes have all of it.
const whyLines = 4

func lines(text string, letters int) int { return (len([]rune(text)) + letters - 1) / letters }

// methodSlide says on what and how it was measured.
func (v view) methodSlide(id string) slide {
	valid := 0
	for _, s := range v.Run.Samples {
		if s.Valid() {
			valid++
		}
	}
	s := slide{ID: id, Kind: methodSlide, Heading: "Method and machine"}
	all := append(facts(v.Run), fact{"Samples", fmt.Sprintf("%d, of which %d are valid", v.Total, valid)}, fact{"Intervals", v.Method})
	all = append(all, machine(v.Run.Environment)...)
	for _, f := range all {
		switch f.Name {
		case "Run", "Seed", "Load before", "Load after", "Clock source", "CPU governor", "Host's congestion control", "Host's default qdisc":
		default:
			if !strings.Contains(f.Name, ".") { // a sysctl
				s.Facts = append(s.Facts, f)
				continue
			}
		}
		s.Notes = append(s.Notes, f.Name+": "+f.Value)
	}
	return s
}

// word is a part of an answer: text, or a figure in it.
type word struct {
	Text   string
	Figure bool
}

// figure is a number with its unit, as answers have them, and what is around it: it is no part of a word, an address or a fraction.
var figure = regexp.MustCompile(`(?:^|[ (])(\d+(?:,\d{3})*(?:\.\d+)?(?: (?:%|[kMG]?bit/s|[kMG]?B|[mnµ]?s|packets|times))?)(?:$|[ ,;:)]|\.(?:$| ))`)

// words parts a sentence into figures and what is between them.
func words(sentence string) []word {
	var all []word
	from := 0
	for _, at := range figure.FindAllStringSubmatchIndex(sentence, -1) {
		if at[2] > from {
			all = append(all, word{Text: sentence[from:at[2]]})
		}
		all = append(all, word{sentence[at[2]:at[3]], true})
		from = at[3]
	}
	if from < len(sentence) {
		all = append(all, word{Text: sentence[from:]})
	}
	return all
}

// size names the size of type in which an answer fits its slide.
func size(text string) string {
	switch n := len([]rune(text)); {
	case n <= 120:
		return "large"
	case n <= 260:
		return "medium"
	case n <= 480:
		return "small"
	}
	return "least"
}
