package stats

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	moremath "github.com/aclements/go-moremath/stats"
)

// exactLimit is the sample size up to which the distribution of U is computed and not approximated.
const exactLimit = 50

// Test is the outcome of a test of two samples.
type Test struct {
	// P is the two-sided probability of a difference like this or a larger one between samples of one distribution.
	P float64
	// Smallest is the smallest P that samples of these sizes, with these ties, could give: 1 if all values are equal.
	Smallest float64
}

// MannWhitney tests whether two samples come from one distribution. Samples without values, and equal ones, show nothing: P is 1.
func MannWhitney(as, bs []float64) Test {
	return Test{P: pValue(as, bs), Smallest: min(smallestP(as, bs), smallestP(bs, as))}
}

// smallestP is the p-value if all values of the first sample were the lowest ones.
func smallestP(as, bs []float64) float64 {
	pooled := slices.Sorted(slices.Values(slices.Concat(as, bs)))
	if len(as) == 0 || len(bs) == 0 || pooled[0] == pooled[len(pooled)-1] {
		return 1
	}
	last := pooled[len(as)-1]
	equal, inside := 0, 0 // values like the last one of the first sample, and those of them in it
	for i, value := range pooled {
		if value == last {
			equal++
			if i < len(as) {
				inside++
			}
		}
	}
	return min(1, 2*math.Exp(logChoose(equal, inside)-logChoose(len(pooled), len(as)))*(1+1e-9)) // room for rounding
}

// logChoose is the logarithm of the number of ways to choose k of n.
func logChoose(n, k int) float64 {
	factorial := func(n int) float64 { value, _ := math.Lgamma(float64(n + 1)); return value }
	return factorial(n) - factorial(k) - factorial(n-k)
}

func pValue(as, bs []float64) float64 {
	result, err := moremath.MannWhitneyUTest(as, bs, moremath.LocationDiffers)
	if err != nil { // no values, or all of them equal
		return 1
	}
	return min(result.P, 1)
}

// Rejected reports for each of several tests whether it shows a difference. The probability that any of them does although there is
// none anywhere is at most alpha. Tests that could not show a difference, whatever was measured, don't count.
func Rejected(tests []Test, alpha float64) []bool {
	family := 1
	for {
		able := 0
		for _, t := range tests {
			if t.Smallest <= alpha/float64(family) {
				able++
			}
		}
		if able <= family {
			break
		}
		family++
	}
	var order []int
	for i, t := range tests {
		if t.Smallest <= alpha/float64(family) {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(tests[a].P, tests[b].P) })
	rejected := make([]bool, len(tests))
	for step, i := range order {
		if tests[i].P > alpha/float64(len(order)-step) {
			break
		}
		rejected[i] = true
	}
	return rejected
}

// Shift estimates by how much bs are above as, with its 95 % interval: the median of all differences between a value of each.
// Fewer than four values on a side have no such interval.
func Shift(as, bs []float64) Estimate {
	return hodgesLehmann(as, bs, func(a, b float64) float64 { return b - a })
}

// RatioShift estimates by which factor bs are above as, with its 95 % interval: the median of all ratios. All values must be
// above 0.
func RatioShift(as, bs []float64) Estimate {
	return hodgesLehmann(as, bs, func(a, b float64) float64 { return b / a })
}

func hodgesLehmann(as, bs []float64, between func(a, b float64) float64) Estimate {
	pairs := make([]float64, 0, len(as)*len(bs))
	for _, a := range as {
		for _, b := range bs {
			pairs = append(pairs, between(a, b))
		}
	}
	e := Estimate{Value: Median(pairs), Lo: math.NaN(), Hi: math.NaN(), N: min(len(as), len(bs))}
	slices.Sort(pairs)
	if outside := criticalU(len(as), len(bs), 0.05); outside >= 0 {
		e.Lo, e.Hi = pairs[outside], pairs[len(pairs)-1-outside]
	}
	return e
}

// criticalU is the largest U at which the two-sided test of samples of these sizes rejects at alpha; -1 if none does.
func criticalU(n1, n2 int, alpha float64) int {
	if n1 == 0 || n2 == 0 {
		return -1
	}
	if n1 > exactLimit || n2 > exactLimit {
		sizes := float64(n1) * float64(n2)
		z := -moremath.StdNormal.InvCDF(alpha / 2)
		return int(math.Floor(sizes/2 - z*math.Sqrt(sizes*float64(n1+n2+1)/12) - 0.5))
	}
	distribution := moremath.UDist{N1: n1, N2: n2}
	low, high := -1, n1*n2/2
	for low < high {
		middle := (low + high + 1) / 2
		if 2*distribution.CDF(float64(middle)) <= alpha {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low
}

// FewestSamples is how many values each of two samples must have before the test can show a difference at alpha.
func FewestSamples(alpha float64) int {
	n, smallest := 1, 1.0 // 2 / C(2n, n)
	for smallest > alpha {
		n++
		smallest *= float64(n) / float64(2*(2*n-1))
	}
	return n
}

// MostSamples is the largest number of samples that SamplesToFind tries.
const MostSamples = exactLimit

// SamplesToFind is how many values each sample must have so that the test finds a relative difference at alpha in at least 90 %
// of all comparisons, if values scatter as those in noise do: each holds samples of one distribution. It is 0 if MostSamples do not
// suffice, or if nothing is known of the scatter. The same seed gives the same answer.
func SamplesToFind(effect, alpha float64, seed uint64, noise ...[]float64) int {
	residuals := Residuals(noise...)
	if len(residuals) == 0 {
		return 0
	}
	// Few values may scatter less than others of their distribution: plan with the upper 80 % limit of the scatter, as Browne
	// advises (On the Use of a Pilot Sample for Sample Size Determination, 1995).
	wider := 1 + 0.84/math.Sqrt(2*float64(max(len(residuals)-len(noise), 1)))
	for i := range residuals {
		residuals[i] *= wider
	}
	low, high := max(FewestSamples(alpha), 2), MostSamples
	if !finds(residuals, effect, alpha, high, seed) {
		return 0
	}
	for low < high {
		middle := (low + high) / 2
		if finds(residuals, effect, alpha, middle, seed) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

// Residuals are the relative distances of values from the mean of their sample, made as wide as those of the distribution that it
// comes from: a mean of few values lies too close to them.
func Residuals(samples ...[]float64) []float64 {
	var residuals []float64
	for _, sample := range samples {
		mean := Mean(sample)
		if len(sample) < 2 || !(mean > 0) {
			continue
		}
		wider := math.Sqrt(float64(len(sample)) / float64(len(sample)-1))
		for _, value := range sample {
			residuals = append(residuals, (value/mean-1)*wider)
		}
	}
	return residuals
}

// finds reports whether n values on each side find the effect in at least 90 % of simulated comparisons.
func finds(residuals []float64, effect, alpha float64, n int, seed uint64) bool {
	const simulations, wanted = 500, 470 // some more than 90 %: the simulation has an error of its own
	critical := float64(criticalU(n, n, alpha))
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	as, bs := make([]float64, n), make([]float64, n)
	found := 0
	for range simulations {
		for i := range n {
			as[i] = 1 + residuals[r.IntN(len(residuals))]
			bs[i] = (1 + residuals[r.IntN(len(residuals))]) * (1 + effect)
		}
		if u := smallerU(as, bs); u <= critical {
			found++
		}
	}
	return found >= wanted
}

// smallerU is the smaller of the two statistics of Mann and Whitney, with ties counted as halves.
func smallerU(as, bs []float64) float64 {
	u := 0.0
	for _, a := range as {
		for _, b := range bs {
			switch {
			case a > b:
				u++
			case a == b:
				u += 0.5
			}
		}
	}
	return min(u, float64(len(as)*len(bs))-u)
}
