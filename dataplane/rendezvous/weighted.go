package rendezvous

import (
	"math"
	"math/bits"
)

// selectWeighted finds the least -ln(u)/weight, where u is the score, from 0 to 1. That is the first of independent events whose
// rates are the weights, so each member comes first with the probability weight/sum of all weights; and the greatest score wins where
// weights are equal. A member's value depends on no other member, so that here, too, only what a change concerns changes hands.
//
// Explicit conversions to float64 forbid the compiler to fuse a multiplication with an addition (Go specification, "Floating-point
// operators"): all architectures compute the same.
func (s Set) selectWeighted(slot uint32) int {
	first, least, hash := 0, math.Inf(1), mix(0, uint64(slot))
	for i := range s {
		score := scoreOf(hash, s[i].Seed) | 1<<3 // the middle of the range that the mask leaves: never 0
		weight := float64(s[i].Weight)
		// -ln(u) is greater than 1-u: most members lose without a logarithm.
		if float64(unit-score)/unit > float64(least*weight) {
			continue
		}
		if value := minusLog(uint64(score)) / weight; value < least {
			first, least = i, value
		}
	}
	return first
}

const (
	unitBits = 63
	unit     = math.MaxInt64 // 1 as a score
)

// minusLog is -ln(score/2^63), for scores from 1 to 2^63-1.
func minusLog(score uint64) float64 {
	shift := bits.LeadingZeros64(score)
	mantissa := float64(score<<shift>>11) / (1 << 52) // from 1 to 2
	exponent := 63 - shift - unitBits
	// ln(m) is 2·artanh(q) with q = (m-1)/(m+1), at most 1/3: the twelfth power of q² is below 2^-38.
	q := float64((mantissa - 1) / (mantissa + 1))
	square := float64(q * q)
	sum := 0.0
	for term := 25; term >= 1; term -= 2 {
		sum = float64(sum*square) + 1/float64(term)
	}
	return -float64(float64(exponent)*math.Ln2) - float64(2*float64(q*sum))
}
