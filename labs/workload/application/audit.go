package application

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/dsrlab/dsrlab/labs/workload"
)

// maxLines bounds an audit log; further lines are only counted.
const maxLines = 100_000

// Audit keeps a log of who did what. Each request is answered with its line.
type Audit struct {
	mu     sync.Mutex
	record AuditRecord
}

// AuditRecord is an audit log.
type AuditRecord struct {
	Lines []AuditLine `json:"lines"`
	// Lost counts lines beyond the first 100,000.
	Lost int `json:"lost,omitempty"`
}

// AuditLine is one line.
type AuditLine struct {
	Time time.Time `json:"time"`
	// Client is the address and port that the log records.
	Client netip.AddrPort `json:"client"`
	Method string         `json:"method"`
	// Path is the request's path with its query. A lab puts the true client into it.
	Path string `json:"path"`
}

// String formats the line in the order of the Common Log Format, without its other fields.
func (l AuditLine) String() string {
	return fmt.Sprintf("%s [%s] %q", l.Client, l.Time.UTC().Format(time.RFC3339Nano), l.Method+" "+l.Path)
}

// NewAudit returns an empty log.
func NewAudit() *Audit { return &Audit{} }

// Kind implements App.
func (a *Audit) Kind() workload.Kind { return "audit" }

// Record implements App; it is an AuditRecord.
func (a *Audit) Record() any {
	a.mu.Lock()
	defer a.mu.Unlock()
	return AuditRecord{Lines: append([]AuditLine{}, a.record.Lines...), Lost: a.record.Lost}
}

// Serve implements App.
func (a *Audit) Serve(w http.ResponseWriter, r *http.Request, client netip.AddrPort) {
	line := AuditLine{Time: time.Now(), Client: client, Method: r.Method, Path: r.URL.RequestURI()}
	a.mu.Lock()
	if len(a.record.Lines) < maxLines {
		a.record.Lines = append(a.record.Lines, line)
	} else {
		a.record.Lost++
	}
	a.mu.Unlock()
	fmt.Fprintln(w, line)
}
