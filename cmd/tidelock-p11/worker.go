package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

const workerArgument = "-worker"

// worker is another process of this program, which runs lines one at a time.
type worker struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// remoteError is the error of a line in a worker.
type remoteError struct{ code, text string }

func (e remoteError) Error() string { return e.text }

func startWorker() (*worker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// The program tells by its name what it is.
	w := &worker{process: &exec.Cmd{Path: self, Args: []string{os.Args[0], workerArgument}, Stderr: os.Stderr}}
	if w.in, err = w.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewReader(out)
	return w, w.process.Start()
}

func (w *worker) run(words []string) (string, error) {
	if _, err := fmt.Fprintln(w.in, strings.Join(words, " ")); err != nil {
		return "", err
	}
	line, err := w.out.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the process has gone: %w", err)
	}
	code, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
	if code != "CKR_OK" {
		return "", remoteError{code, text}
	}
	return text, nil
}

func (w *worker) end() error {
	return errors.Join(w.in.Close(), w.process.Wait())
}

// work is a worker's side: a line in, its code and its answer or error out.
func work(in io.Reader, out io.Writer) {
	m, err := newMachine()
	if err != nil {
		fail(err)
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		answer, err := m.run(strings.Fields(lines.Text()))
		if err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Fprintf(out, "%s\t%s\n", codeOf(err), answer)
	}
}

// workers are the processes that a script names.
type workers struct{ named map[string]*worker }

func (ws *workers) get(name string) (*worker, error) {
	if w, known := ws.named[name]; known {
		return w, nil
	}
	w, err := startWorker()
	if err == nil {
		ws.named[name] = w
	}
	return w, err
}

func (ws *workers) end() {
	for _, w := range ws.named {
		_ = w.end()
	}
	ws.named = nil
}

// crowd runs lines in a process each, all at once, on a session s that each of them
// has open. The answer counts the lines' answers.
func crowd(words []string) (string, error) {
	var lines [][]string
	for len(words) > 0 {
		end := slices.Index(words, "|")
		part := words
		if end >= 0 {
			part, words = words[:end], words[end+1:]
		} else {
			words = nil
		}
		if len(part) < 2 {
			return "", errUsage
		}
		count, err := strconv.Atoi(part[0])
		if err != nil {
			return "", err
		}
		for range count {
			lines = append(lines, part[1:])
		}
	}
	all := make([]*worker, 0, len(lines))
	defer func() {
		for _, w := range all {
			_ = w.end()
		}
	}()
	for range lines {
		w, err := startWorker()
		if err != nil {
			return "", err
		}
		all = append(all, w)
	}
	for _, w := range all {
		for _, line := range []string{"init", "open rw s"} {
			if _, err := w.run(strings.Fields(line)); err != nil {
				return "", fmt.Errorf("%s: %w", line, err)
			}
		}
	}
	answers := make(chan string)
	for i, w := range all {
		go func() {
			_, err := w.run(lines[i])
			what := codeOf(err)
			if what == noCode {
				what = err.Error()
			}
			answers <- what
		}()
	}
	tally := map[string]int{}
	for range all {
		tally[<-answers]++
	}
	var counts []string
	for code, n := range tally {
		counts = append(counts, fmt.Sprintf("%d %s", n, code))
	}
	slices.Sort(counts)
	return "CKR_OK " + strings.Join(counts, ", "), nil
}
