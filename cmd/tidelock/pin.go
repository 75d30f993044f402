package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"tidelock.dev/tidelock/internal/secret"
)

// maxPIN is the most bytes that are read for a PIN; no policy allows a longer one.
const maxPIN = 1024

// pins is where a command has its PINs from: a terminal, files, or lines of standard
// input. They are never on the command line, which every user of the host can read.
type pins struct {
	file, newFile string
	stdin         bool
	lines         *bufio.Reader
}

// flags adds the flags for a PIN that is there and, where wanted, for a new one.
func (p *pins) flags(cmd *cobra.Command, both bool) {
	f := cmd.Flags()
	f.StringVar(&p.file, "pin-file", "", "file with the PIN in its first line")
	text := "read the PIN from standard input"
	if both {
		f.StringVar(&p.newFile, "new-pin-file", "", "file with the new PIN in its first line")
		text = "read the PIN, then the new PIN, from standard input, a line each"
	}
	f.BoolVar(&p.stdin, "pin-stdin", false, text)
}

// present is the PIN that whose has now. It is the caller's to wipe.
func (p *pins) present(cmd *cobra.Command, whose string) (secret.Bytes, error) {
	return p.get(cmd, p.file, "--pin-file", "PIN of the "+whose, false)
}

// first is a PIN that whose gets with the command's only PIN.
func (p *pins) first(cmd *cobra.Command, whose string) (secret.Bytes, error) {
	return p.get(cmd, p.file, "--pin-file", "New PIN of the "+whose, true)
}

// next is a PIN that whose gets beside a PIN that is there.
func (p *pins) next(cmd *cobra.Command, whose string) (secret.Bytes, error) {
	return p.get(cmd, p.newFile, "--new-pin-file", "New PIN of the "+whose, true)
}

func (p *pins) get(cmd *cobra.Command, file, flag, prompt string, twice bool) (secret.Bytes, error) {
	switch {
	case file != "":
		f, err := os.Open(file)
		if err != nil {
			return secret.Bytes{}, fmt.Errorf("%s: %w", flag, err)
		}
		defer f.Close()
		return firstLine(bufio.NewReaderSize(f, maxPIN), flag+" "+file)
	case p.stdin:
		if kept := shellOf(cmd); kept != nil && kept.lines != nil {
			p.lines = kept.lines
		} else if p.lines == nil {
			p.lines = bufio.NewReaderSize(cmd.InOrStdin(), maxPIN)
		}
		return firstLine(p.lines, "standard input")
	case !interactive(cmd):
		return secret.Bytes{}, wrongUse("%s: nobody can be asked without a terminal: give %s FILE or --pin-stdin", prompt, flag)
	}
	return askPIN(cmd, prompt, twice)
}

// firstLine takes a line without its end. from names the source for errors.
func firstLine(r *bufio.Reader, from string) (secret.Bytes, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		clear(line)
		return secret.Bytes{}, fmt.Errorf("%s: the first line has more than %d bytes: that is no PIN", from, maxPIN-1)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return secret.Bytes{}, fmt.Errorf("%s: %w", from, err)
	}
	pin := secret.Copy(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")))
	clear(line)
	if pin.Len() == 0 {
		return secret.Bytes{}, fmt.Errorf("%s: there is no PIN in it", from)
	}
	return pin, nil
}

// askPIN asks on the terminal, which does not show what is typed; a new PIN twice.
func askPIN(cmd *cobra.Command, prompt string, twice bool) (secret.Bytes, error) {
	pin, err := readHidden(cmd, prompt)
	if err != nil || !twice {
		return pin, err
	}
	again, err := readHidden(cmd, "The same again")
	if err != nil {
		pin.Wipe()
		return secret.Bytes{}, err
	}
	defer again.Wipe()
	if !pin.Equal(again) {
		pin.Wipe()
		return secret.Bytes{}, errors.New("the two PINs differ: nothing was changed")
	}
	return pin, nil
}

func readHidden(cmd *cobra.Command, prompt string) (secret.Bytes, error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok {
		return secret.Bytes{}, errors.New("standard input is no terminal")
	}
	// Before the prompt: what is typed at once must not show either.
	restore, err := echoOff(int(in.Fd()))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("the terminal: %w", err)
	}
	defer restore()
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: ", prompt)
	line, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(cmd.ErrOrStderr())
	if err != nil {
		clear(line)
		return secret.Bytes{}, fmt.Errorf("reading the PIN: %w", err)
	}
	if len(line) == 0 {
		return secret.Bytes{}, errors.New("no PIN was typed: nothing was done")
	}
	return secret.Take(line), nil
}

// echoOff stops a terminal from showing what is typed until restore. An interrupt
// restores it too, and ends the program.
func echoOff(fd int) (restore func(), err error) {
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	quiet := *before
	quiet.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err != nil {
		return nil, err
	}
	// A terminal that is gone needs no echo.
	show := func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		if _, came := <-interrupted; came {
			show()
			fmt.Fprintln(os.Stderr)
			os.Exit(exitRefused)
		}
	}()
	return func() {
		signal.Stop(interrupted)
		close(interrupted)
		show()
	}, nil
}
