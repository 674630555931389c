package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What tells a pod of an Indexed Job which shard it is, and of how many: the first
// is set by Kubernetes, the second by the manifest, since no Job tells its pods.
const (
	indexVar  = "JOB_COMPLETION_INDEX"
	shardsVar = "TOKENMIGRATE_SHARDS"
)

// mostShards is more than any rate budget keeps busy.
const mostShards = 1000

// shard is one of several parts of the keys: n counts from 0.
type shard struct{ n, of int }

// shardOf returns the shard that text ("I/N") names or, where it is empty, the
// environment; 0 of 1 where neither does.
func shardOf(text string, getenv func(string) (string, bool)) (shard, error) {
	if text != "" {
		i, n, ok := strings.Cut(text, "/")
		s, err := parseShard(i, n)
		if !ok || err != nil {
			return shard{}, fmt.Errorf("--shard %q: it must be I/N with 0 <= I < N <= %d, such as 0/4 for the first of four", text, mostShards)
		}
		return s, nil
	}
	index, indexed := getenv(indexVar)
	count, counted := getenv(shardsVar)
	indexed, counted = indexed && index != "", counted && count != ""
	switch {
	case counted:
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || n > mostShards {
			return shard{}, fmt.Errorf("%s=%q: it must be the number of shards, 1 to %d", shardsVar, count, mostShards)
		}
		if !indexed && n > 1 {
			return shard{}, fmt.Errorf("%s is %d, but nothing tells which shard this is: run it as a Job with completionMode Indexed, or give --shard I/%d", shardsVar, n, n)
		}
		if !indexed {
			return shard{0, 1}, nil
		}
		s, err := parseShard(index, count)
		if err != nil {
			return shard{}, fmt.Errorf("%s is %q and %s is %d: the index must be 0 to %d; the Job's completions and %s must be the same number", indexVar, index, shardsVar, n, n-1, shardsVar)
		}
		return s, nil
	case indexed && index != "0":
		return shard{}, fmt.Errorf("%s is %q, but %s does not say how many shards there are: set it to the Job's completions", indexVar, index, shardsVar)
	}
	return shard{0, 1}, nil
}

// parseShard reads both numbers of a shard.
func parseShard(i, n string) (shard, error) {
	s := shard{}
	var err, nerr error
	s.n, err = strconv.Atoi(i)
	s.of, nerr = strconv.Atoi(n)
	if err = errors.Join(err, nerr); err == nil && (s.of < 1 || s.of > mostShards || s.n < 0 || s.n >= s.of) {
		err = strconv.ErrRange
	}
	return s, err
}
