package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxSecretFile is the largest file in bytes that ${file:...} takes.
const maxSecretFile = 1 << 20

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// part is a piece of a scalar: literal text, or one ${...}.
type part struct {
	literal string
	name    string // of a variable
	file    string // path of a file
}

// splitParts cuts a scalar into literal text and references. $${ is the literal
// ${, and a $ that no { follows is just a $. The error says what is wrong with
// the first reference that cannot be one; it quotes only what the file says.
func splitParts(text string) ([]part, error) {
	var parts []part
	var lit strings.Builder
	for text != "" {
		switch {
		case strings.HasPrefix(text, "$${"):
			lit.WriteString("${")
			text = text[3:]
		case strings.HasPrefix(text, "${"):
			ref, rest, closed := strings.Cut(text[2:], "}")
			if !closed {
				return nil, errors.New("has a ${ without its }; close it, or write $${ for a plain ${")
			}
			p, err := reference(ref)
			if err != nil {
				return nil, err
			}
			if lit.Len() > 0 {
				parts = append(parts, part{literal: lit.String()})
				lit.Reset()
			}
			parts = append(parts, p)
			text = rest
		default:
			lit.WriteByte(text[0])
			text = text[1:]
		}
	}
	if lit.Len() > 0 {
		parts = append(parts, part{literal: lit.String()})
	}
	return parts, nil
}

// reference reads what stands between ${ and }.
func reference(ref string) (part, error) {
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		if !filepath.IsAbs(path) {
			return part{}, fmt.Errorf("${%s} has no absolute path; write ${file:/path/to/file}", brief(ref))
		}
		return part{file: path}, nil
	}
	if !envName.MatchString(ref) {
		return part{}, fmt.Errorf("${%s} names no variable; write ${NAME} with letters, digits and _, ${file:/path}, or $${ for a plain ${", brief(ref))
	}
	return part{name: ref}, nil
}

// String returns a reference as the configuration file has it.
func (p part) String() string {
	if p.file != "" {
		return "${file:" + p.file + "}"
	}
	return "${" + p.name + "}"
}

// isRef reports whether the part stands for a value outside the file.
func (p part) isRef() bool { return p.name != "" || p.file != "" }

// expand returns what the part stands for.
func (p part) expand(getenv func(string) (string, bool)) (string, error) {
	switch {
	case p.name != "":
		text, ok := getenv(p.name)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set; set it", p.name)
		}
		return text, checkText(p, text)
	case p.file != "":
		text, err := readSecretFile(p.file)
		if err != nil {
			return "", fmt.Errorf("the file of %s %w", p, err)
		}
		return text, checkText(p, text)
	}
	return p.literal, nil
}

// checkText refuses what no key can hold and what would be cut or mangled on
// its way into a connection string or a header.
func checkText(p part, text string) error {
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("the value of %s is not UTF-8 text; give it as text", p)
	}
	return nil
}

// readSecretFile returns a file's content without one trailing line break. Its
// errors continue a sentence about the file and do not quote its content.
func readSecretFile(path string) (string, error) {
	data, err := readLimited(path, maxSecretFile)
	if err != nil {
		return "", err
	}
	text, ended := strings.CutSuffix(string(data), "\n")
	if ended {
		text = strings.TrimSuffix(text, "\r")
	}
	return text, nil
}

// readLimited reads a whole file of at most limit bytes. Its errors continue a
// sentence about the file.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a directory; name a file")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, fileError(err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("is larger than %d KiB; is it the right one?", limit>>10)
	}
	return data, nil
}

// fileError says in words why a file cannot be read.
func fileError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("does not exist; create it, or correct the path")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("may not be read by this user; change its permissions")
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return fmt.Errorf("cannot be read (%w)", err)
}

// brief shortens text of the configuration file for a message, to one line.
func brief(text string) string {
	const most = 40
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + "..."
}
