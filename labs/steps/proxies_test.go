package steps

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestEntriesOf(t *testing.T) {
	header := map[string][]string{
		"X-Forwarded-For": {"203.0.113.7, 1.2.3.4", "1.2.3.5"},
		"Forwarded":       {`for=203.0.113.7, for="[2001:db8::1]";by=1.2.3.5`, "for=1.2.3.5"},
	}
	assert.Equal(t, []string{"203.0.113.7", "1.2.3.4", "1.2.3.5"}, entriesOf(header, "X-Forwarded-For"))
	assert.Equal(t, []string{"203.0.113.7", "[2001:db8::1]", "1.2.3.5"}, entriesOf(header, "Forwarded"))
	assert.Nil(t, entriesOf(nil, "X-Forwarded-For"))
	assert.Nil(t, entriesOf(map[string][]string{"Forwarded": {"for=;;="}}, "Forwarded"), "a broken header tells nothing")
}

func TestProxyStepsNameAllErrors(t *testing.T) {
	texts := func(errs []error) (all []string) {
		for _, err := range errs {
			all = append(all, err.Error())
		}
		return all
	}
	assert.Equal(t, []string{
		"count: found less than 1 (want 1 or more)", `forge: found "nobody" (want an IPv4 address)`, "through: missing (want nodes)",
	}, texts((&HeadersStep{Forge: "nobody"}).validate()))
	assert.Equal(t, []string{
		"count: found less than 1 (want 1 or more)", `forge: found "::1" (want an IPv4 address)`, "through: missing (want a node)",
		"pod, port: missing (want where the applications listen)",
	}, texts((&ProxyProtocolStep{Forge: "::1"}).validate()))
}
