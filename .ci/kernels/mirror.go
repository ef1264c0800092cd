package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/ulikunitz/xz"
)

// indexAge is how long a downloaded index is used.
const indexAge = 12 * time.Hour

// suite is a suite of one of Debian's archives.
type suite struct {
	archive string // "debian" or "debian-security"
	name    string
}

func (s suite) String() string { return s.name }

// mirror fetches from a mirror of Debian's archives and keeps in a folder what it fetched. Processes may share the folder:
// files appear there whole.
type mirror struct {
	url    string // https, or else nothing vouches for the index
	folder string
}

// defaultFolder is where a mirror keeps what it fetched: $XDG_CACHE_HOME/dsrlab/kernels.
func defaultFolder() (string, error) {
	base, err := os.UserCacheDir()
	return filepath.Join(base, "dsrlab", "kernels"), err
}

// packages reads the kernel packages of a suite.
func (m mirror) packages(ctx context.Context, s suite) ([]debPackage, error) {
	file := m.indexFile(s)
	if info, err := os.Stat(file); err != nil || time.Since(info.ModTime()) > indexAge {
		index := path.Join(s.archive, "dists", s.name, "main/binary-amd64/Packages.xz")
		// Without a network an old index is better than none.
		if fetchErr := m.fetch(ctx, index, file, ""); fetchErr != nil && err != nil {
			return nil, fetchErr
		}
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := xz.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", file, err)
	}
	return parsePackages(text, s, "linux-")
}

func (m mirror) indexFile(s suite) string { return filepath.Join(m.folder, s.name+".Packages.xz") }

// deb fetches a package, unless it is there, and names its file. The file has the checksum that the index states.
func (m mirror) deb(ctx context.Context, p debPackage) (string, error) {
	file := filepath.Join(m.folder, path.Base(p.Filename))
	if sum, err := checksum(file); err == nil && sum == p.SHA256 {
		return file, nil
	}
	if err := m.fetch(ctx, path.Join(p.Suite.archive, p.Filename), file, p.SHA256); err != nil {
		// A suite that moved on no longer has the files of an older index: the next run fetches that, too.
		return "", errors.Join(err, os.Remove(m.indexFile(p.Suite)))
	}
	return file, nil
}

// fetch downloads a file of the mirror. Without a checksum to compare with, any content will do.
func (m mirror) fetch(ctx context.Context, from, file, wantSum string) (err error) {
	url := m.url + "/" + from
	defer func() {
		if err != nil {
			err = fmt.Errorf("fetch %s: %w", url, err)
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the mirror says %s", response.Status)
	}
	part, err := renameio.NewPendingFile(file, renameio.WithTempDir(filepath.Dir(file)))
	if err != nil {
		return err
	}
	defer func() { _ = part.Cleanup() }() // what did not take its name
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(part, sum), response.Body); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); wantSum != "" && got != wantSum {
		return fmt.Errorf("its SHA256 is %s, but the index says %s", got, wantSum)
	}
	return part.CloseAtomicallyReplace()
}

func checksum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
