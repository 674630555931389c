package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// unpack writes the files of one platform of an archive to out/rootfs and their
// configuration to out/config.json. Digests are verified on the way.
func unpack(archive, arch, out string) error {
	folder, err := os.MkdirTemp("", "tokenmigrate-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := untar(f, folder); err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	img, err := find(folder, arch)
	if err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	files := mutate.Extract(img)
	defer files.Close()
	if err := untar(files, filepath.Join(out, "rootfs")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "config.json"), append(text, '\n'), 0o644)
}

// find returns the image of one platform in a layout that assemble wrote.
func find(folder, arch string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("got %d images in it, want one for all platforms", len(manifest.Manifests))
	}
	if index, err = index.ImageIndex(manifest.Manifests[0].Digest); err != nil {
		return nil, err
	}
	if manifest, err = index.IndexManifest(); err != nil {
		return nil, err
	}
	for _, d := range manifest.Manifests {
		if p := d.Platform; p != nil && p.OS == "linux" && p.Architecture == arch {
			return index.Image(d.Digest)
		}
	}
	return nil, fmt.Errorf("no image for linux/%s is in it", arch)
}

// untar writes the files and folders of a tar below folder, with their modes.
// Anything else in it, and a path that leads elsewhere, is an error.
func untar(r io.Reader, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := untarOne(root, h, t); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

func untarOne(root *os.Root, h *tar.Header, content io.Reader) error {
	path := filepath.Clean(filepath.FromSlash(h.Name))
	mode := h.FileInfo().Mode().Perm()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(path, 0o755); err != nil {
			return err
		}
	case tar.TypeReg:
		f, err := root.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	default:
		return fmt.Errorf("is neither file nor folder (%c)", h.Typeflag)
	}
	return root.Chmod(path, mode)
}
