package manifest

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type inner struct {
	Shared string `json:"shared"`
	Hidden string `json:"-"`
}

type document struct {
	inner  `json:",inline"`
	Text   string            `json:"text"`
	Number int8              `json:"number,omitempty"`
	Port   uint16            `json:"port"`
	Ratio  *float64          `json:"ratio"`
	Yes    bool              `json:"yes"`
	Addr   netip.Addr        `json:"addr"`
	Subnet netip.Prefix      `json:"subnet"`
	Map    map[string]string `json:"map"`
	List   []item            `json:"list"`
	Any    any               `json:"any"`
	Time   metav1.Time       `json:"time"`
	Plain  int
	Deep   *document `json:"deep"`
	Span   span      `json:"span"`
}

type item struct {
	Name string  `json:"name"`
	Sub  []*item `json:"sub"`
}

// span is text that decodes itself.
type span time.Duration

func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = span(d)
	return err
}

func TestDecode(t *testing.T) {
	var got document
	positions, err := Decode("x.yaml", []byte(`# comment
text: "yes"
shared: s
number: -0x10
port: 65_535
ratio: 2
yes: true
addr: &a 192.168.1.11
subnet: 10.0.0.0/8
map: {on: "off", "1": a, date: 2024-01-01, a.b/c: x}
list:
- name: one
  sub:
  - name: two
- {name: three, sub: null}
any: {a: [1, x, null]}
time: 2024-01-01T00:00:00Z
Plain: 5
span: 500ms
deep: {addr: *a}
`), &got)
	require.NoError(t, err)
	two := 2.0
	assert.Equal(t, document{
		inner: inner{Shared: "s"}, Text: "yes", Number: -16, Port: 65535, Ratio: &two, Yes: true,
		Addr: netip.MustParseAddr("192.168.1.11"), Subnet: netip.MustParsePrefix("10.0.0.0/8"),
		Map:  map[string]string{"on": "off", "1": "a", "date": "2024-01-01", "a.b/c": "x"},
		List: []item{{Name: "one", Sub: []*item{{Name: "two"}}}, {Name: "three"}},
		Any:  map[string]any{"a": []any{1, "x", nil}}, Time: metav1.Time{Time: got.Time.Time}, Plain: 5,
		Deep: &document{Addr: netip.MustParseAddr("192.168.1.11")}, Span: span(500 * time.Millisecond),
	}, got)
	assert.Equal(t, int64(1704067200), got.Time.Unix())

	for field, want := range map[string][2]int{
		"text": {2, 7}, "list[0].sub[0].name": {14, 11}, "list[1].sub": {15, 22}, "map[a.b/c]": {10, 51},
		"list[0].missing": {12, 3}, "list[0].sub[0].missing.too": {14, 5}, "map[missing.dot]": {10, 6}, "missing": {2, 1}, "": {2, 1},
		"deep.addr": {20, 14},
	} {
		line, column := positions.Find(field)
		assert.Equal(t, want, [2]int{line, column}, field)
	}
	assert.Equal(t, "x.yaml", positions.File())
}

// Numbers with leading zeros are decimal, and text stays what it is.
func TestDecodeLeadingZeros(t *testing.T) {
	for text, want := range map[string]uint16{"08": 8, "010": 10, "0": 0, "000": 0, "0x10": 16, "0o17": 15, "7": 7} {
		var got document
		_, err := Decode("x.yaml", []byte("port: "+text+"\nratio: 007\n"), &got)
		require.NoError(t, err, text)
		assert.Equal(t, want, got.Port, text)
		assert.InDelta(t, 7, *got.Ratio, 0)
	}
	for _, text := range []string{`"08"`, "08a", "0-8", "!!str 08"} {
		_, err := Decode("x.yaml", []byte("port: "+text+"\n"), &document{})
		assert.Error(t, err, text)
	}
}

func TestDecodeErrors(t *testing.T) {
	for name, test := range map[string]struct{ document, want string }{
		"case":            {"Text: x\n", `x.yaml:1:1: Text: unknown field: did you mean "text"?`},
		"hidden":          {"Hidden: x\n", `x.yaml:1:1: Hidden: unknown field: want one of Plain, addr, any, deep, list, map, number, port, ratio, shared, span, subnet, text, time, yes`},
		"overflow":        {"number: 128\nport: -1\n", "x.yaml:1:9: number: is 128, want a whole number from -128 to 127\nx.yaml:2:7: port: is -1, want a whole number from 0 to 65535"},
		"fraction":        {"port: 80.5\n", "x.yaml:1:7: port: is the number 80.5, want a whole number from 0 to 65535"},
		"bool":            {"yes: yes\n", `x.yaml:1:6: yes: is "yes", want true or false`},
		"float":           {"ratio: half\n", `x.yaml:1:8: ratio: is "half", want a number`},
		"single value":    {"lis: a\n", "x.yaml:1:1: lis: unknown field (want list: [a])"},
		"single address":  {"list: []\ndeep: {lis: \"::1\"}\n", `x.yaml:2:8: deep.lis: unknown field (want list: ["::1"])`},
		"text type":       {"addr: [1]\nspan: 5\n", "x.yaml:1:7: addr: is a list, want an IP address, as in 192.168.1.11\nx.yaml:2:7: span: time: missing unit in duration \"5\""},
		"prefix":          {"subnet: 10.0.0.0\n", `x.yaml:1:9: subnet: is "10.0.0.0", want a subnet, as in 192.168.1.0/24`},
		"text for list":   {"list: a\n", `x.yaml:1:7: list: is "a", want a list`},
		"alias of a list": {"list: &l []\ntext: *l\n", "x.yaml:1:7: text: is a list, want a string"},
		"binary":          {"text: !!binary aGVsbG8=\n", `x.yaml:1:7: text: is binary data, want a string: quote it, "aGVsbG8="`},
		"any":             {"any: {? [a] : b}\n", "x.yaml:1:6: any: invalid map key: []interface {}{\"a\"}"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode("x.yaml", []byte(test.document), &document{})
			require.EqualError(t, err, test.want)
		})
	}
}

func TestDecodeBounds(t *testing.T) {
	// A list in a list in a list, each of ten times the one before.
	var bomb strings.Builder
	bomb.WriteString("list:\n- &a {name: x}\n")
	for level := 'b'; level < 'k'; level++ {
		alias := "*" + string(level-1)
		bomb.WriteString("- &" + string(level) + " {sub: [" + strings.Repeat(alias+", ", 9) + alias + "]}\n")
	}
	begin := time.Now()
	_, err := Decode("x.yaml", []byte(bomb.String()), &document{})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "the document is too big or too deep (want at most 100000 values, 64 in each other): aliases must not blow it up")
	assert.Less(t, time.Since(begin), 10*time.Second)

	_, err = Decode("x.yaml", []byte("deep: &d {deep: *d}\n"), &document{})
	require.Error(t, err)
	assert.Contains(t, err.Error(), "the document is too big or too deep (want at most 100000 values, 64 in each other): aliases must not blow it up")
}

func TestDecodeKubernetes(t *testing.T) {
	var service corev1.Service
	_, err := Decode("slide-7.yaml", []byte(`apiVersion: v1
kind: Service
metadata:
  name: my-service
  creationTimestamp: null
  uid: 0b7f9d5e-0000-0000-0000-000000000000
spec:
  type: LoadBalancer
  externalTrafficPolicy: Local # the magic setting
  ports:
  - port: 80
  - {port: 81, targetPort: http}
  - {port: 82, targetPort: 8082}
status: {loadBalancer: {ingress: [{ip: 185.150.8.128}]}}
`), &service)
	require.NoError(t, err)
	assert.Equal(t, "Service", service.Kind)
	assert.Equal(t, corev1.ServiceExternalTrafficPolicyLocal, service.Spec.ExternalTrafficPolicy)
	assert.EqualValues(t, 80, service.Spec.Ports[0].Port)
	assert.Equal(t, "http", service.Spec.Ports[1].TargetPort.StrVal)
	assert.EqualValues(t, 8082, service.Spec.Ports[2].TargetPort.IntVal)
	assert.Equal(t, "185.150.8.128", service.Status.LoadBalancer.Ingress[0].IP)
}

func TestDecodeTarget(t *testing.T) {
	for _, into := range []any{nil, document{}, (*document)(nil), new(int)} {
		_, err := Decode("x.yaml", []byte("text: x\n"), into)
		assert.ErrorContains(t, err, "want a pointer to a struct")
	}
}

func TestMerge(t *testing.T) {
	var got document
	positions, decodeErr := Decode("x.yaml", []byte("list:\n- name: 1\n- name: ok\nport: x\ntest: y\n"), &got)
	require.Error(t, decodeErr)
	follows := Errorf("addr", "points nowhere")
	follows.Follows = []string{"list"}
	err := positions.Merge(decodeErr, Errors{
		Errorf("port", "is missing"), Errorf("list[0].name", "is missing"), Errorf("text", "is missing"), follows,
		Errorf("list[1].name", "%q is taken", "ok"), Errorf("number", "is missing"), Errorf("list[1].name", "%q is taken", "ok"),
	})
	require.EqualError(t, err, `x.yaml:1:1: number: is missing
x.yaml:2:9: list[0].name: is the number 1, want a string: quote it, "1"
x.yaml:3:9: list[1].name: "ok" is taken
x.yaml:4:7: port: is "x", want a whole number from 0 to 65535
x.yaml:5:1: test: unknown field: did you mean "text"?`)
	var one Error
	require.ErrorAs(t, err, &one)
	assert.Equal(t, 1, one.Line)

	require.NoError(t, positions.Merge(nil, nil))
	require.NoError(t, positions.Merge(Errors(nil).Err(), nil))
	require.EqualError(t, positions.Merge(nil, errors.New("something else")), "x.yaml:1:1: something else")
}

func TestSuggest(t *testing.T) {
	assert.Equal(t, `: did you mean "worker"?`, Suggest("wokrer", []string{"client", "lb", "worker"}))
	assert.Equal(t, ": want one of client, lb, worker", Suggest("router", []string{"client", "lb", "worker"}))
	assert.Equal(t, ": want lb", Suggest("router", []string{"lb"}))
	assert.Empty(t, Suggest("router", nil))
	assert.Equal(t, 1, editDistance("port", "prot"))
	assert.Equal(t, 3, editDistance("kitten", "sitting"))
	assert.Equal(t, 4, editDistance("", "port"))
}
