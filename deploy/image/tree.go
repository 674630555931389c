package main

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// file is one file of a tree, by its path with slashes; without content it is a
// folder, which comes before what is in it.
type file struct {
	path    string
	content []byte
}

// mode lets everybody read and enter everything, and nobody but root change it.
// The program alone is executable.
func (f *file) mode() int64 {
	if f.content == nil || f.path == "tokenmigrate" {
		return 0o755
	}
	return 0o644
}

// writeTree replaces a folder by a tree, all of one time: what a Dockerfile copies
// keeps it.
func writeTree(folder string, tree []file, at time.Time) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, f := range tree {
		path := filepath.Join(folder, filepath.FromSlash(f.path))
		var err error
		if f.content == nil {
			err = os.Mkdir(path, 0o755)
		} else {
			err = os.WriteFile(path, f.content, 0o644)
		}
		if err != nil {
			return err
		}
		if err := os.Chmod(path, fs.FileMode(f.mode())); err != nil { // whatever the umask is
			return err
		}
	}
	for _, f := range slices.Backward(tree) { // a folder after what is in it
		if err := os.Chtimes(filepath.Join(folder, filepath.FromSlash(f.path)), at, at); err != nil {
			return err
		}
	}
	return os.Chtimes(folder, at, at)
}

// readTree reads a folder, in the order of names.
func readTree(folder string) ([]file, error) {
	var tree []file
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		f := file{path: filepath.ToSlash(name)}
		if !d.IsDir() {
			f.content, err = os.ReadFile(path)
		}
		tree = append(tree, f)
		return err
	})
	return tree, err
}

// tarOf returns a tree as a tar of root's files, all of one time.
func tarOf(tree []file, at time.Time) ([]byte, error) {
	var text bytes.Buffer
	w := tar.NewWriter(&text)
	for _, f := range tree {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.path, Mode: f.mode(), Size: int64(len(f.content)), ModTime: at.UTC().Truncate(time.Second), Format: tar.FormatPAX}
		if f.content == nil {
			h.Typeflag, h.Name = tar.TypeDir, f.path+"/"
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}
