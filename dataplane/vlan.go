package dataplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/safchain/ethtool"
)

// tagFeature is a device's taking VLAN tags out of frames. XDP has to see them: what bears one is not the device's own.
const tagFeature = "rx-vlan-hw-parse"

// tagsPrefix and the index of a device name a folder among the pins. It says that tagFeature was on, and that we have turned it off.
const tagsPrefix = "rx-vlan-hw-parse-"

// keepTags has the device leave VLAN tags in frames.
func keepTags(pinDir string, device *net.Interface) error {
	on, err := hasTagFeature(device.Name)
	if err != nil || !on {
		return err
	}
	marker := filepath.Join(pinDir, tagsPrefix+strconv.Itoa(device.Index))
	if err := os.Mkdir(marker, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := setTagFeature(device.Name, false); err != nil {
		return errors.Join(fmt.Errorf("device %s takes VLAN tags out of frames (%s), and can't be told not to: "+
			"XDP handles tagged frames as if they had no tag: %w", device.Name, tagFeature, err), os.Remove(marker))
	}
	return nil
}

// takeTagsAgain undoes keepTags for all devices that are still there.
func takeTagsAgain(pinDir string) error {
	markers, err := filepath.Glob(filepath.Join(pinDir, tagsPrefix+"*"))
	errs := []error{err}
	for _, marker := range markers {
		index, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(marker), tagsPrefix))
		if device, err := net.InterfaceByIndex(index); err == nil {
			errs = append(errs, setTagFeature(device.Name, true))
		}
		errs = append(errs, os.Remove(marker))
	}
	return errors.Join(errs...)
}

// hasTagFeature reports whether the device takes VLAN tags out of frames.
func hasTagFeature(device string) (bool, error) {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return false, fmt.Errorf("ask device %s for %s: %w", device, tagFeature, err)
	}
	defer e.Close()
	features, err := e.Features(device)
	if err != nil {
		return false, fmt.Errorf("ask device %s for %s: %w", device, tagFeature, err)
	}
	return features[tagFeature], nil
}

func setTagFeature(device string, on bool) error {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return err
	}
	defer e.Close()
	if err := e.Change(device, map[string]bool{tagFeature: on}); err != nil {
		return fmt.Errorf("set %s of device %s: %w", tagFeature, device, err)
	}
	return nil
}
