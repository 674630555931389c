package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// architectures are those of the image, all of Linux.
var architectures = []string{"amd64", "arm64"}

// user is as whom the program runs: a number, since the image has no user names
// and a cluster that demands runAsNonRoot can judge nothing else.
const user = "65532:65532"

// archiveName is the OCI archive's.
const archiveName = "tokenmigrate-image.tar"

// build is what an image is made of.
type build struct {
	binaries, version, commit string
	created                   time.Time // of the image and of every file in it
}

// assemble writes the file trees and the archive below out.
func (b *build) assemble(out string) error {
	roots, err := rootBundle()
	if err != nil {
		return err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range architectures {
		program, err := os.ReadFile(filepath.Join(b.binaries, "tokenmigrate-linux-"+arch))
		if err != nil {
			return err
		}
		tree := []file{
			{"etc", nil},
			{"etc/ssl", nil},
			{"etc/ssl/certs", nil},
			{bundlePath, roots},
			{"tokenmigrate", program},
		}
		if err := writeTree(filepath.Join(out, "image", arch), tree, b.created); err != nil {
			return err
		}
		img, err := b.image(arch, tree)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return b.writeArchive(filepath.Join(out, archiveName), index)
}

// image makes the image of one platform from its tree, in one layer.
func (b *build) image(arch string, tree []file) (v1.Image, error) {
	text, err := tarOf(tree, b.created)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
		tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: b.created}, CreatedBy: "COPY image/" + arch + "/ /"},
	})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, v1.Time{Time: b.created}
	config.Config = v1.Config{User: user, Entrypoint: []string{"/tokenmigrate"}, WorkingDir: "/", Labels: b.labels()}
	return mutate.ConfigFile(img, config)
}

// labels are those that deploy/Dockerfile sets.
func (b *build) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "tokenmigrate",
		"org.opencontainers.image.description": "Moves OAuth tokens out of a team's own Postgres into Vercel Connect",
		"org.opencontainers.image.version":     b.version,
		"org.opencontainers.image.revision":    b.commit,
		"org.opencontainers.image.created":     b.created.UTC().Format(time.RFC3339),
	}
}

// writeArchive writes an OCI image layout, as a tar. What loads it finds one name
// in it, for all platforms.
func (b *build) writeArchive(path string, index v1.ImageIndex) error {
	folder, err := os.MkdirTemp("", "tokenmigrate-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	l, err := layout.Write(folder, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return err
	}
	if err := l.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": b.version,
		"io.containerd.image.name":          "docker.io/library/tokenmigrate:" + b.version,
	})); err != nil {
		return err
	}
	tree, err := readTree(folder)
	if err != nil {
		return err
	}
	text, err := tarOf(tree, b.created)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	return nil
}
