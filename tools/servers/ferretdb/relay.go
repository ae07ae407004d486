package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
)

const (
	headerSize  = 16
	maxMessage  = 48_000_000
	opMsg       = 2013
	bodySection = headerSize + 4 // after the flags
	firstName   = bodySection + 1 + 4 + 1
)

// FerretDB reads a document, changes it, and writes it, as three steps. MongoDB does that as one. So one command that
// writes runs at a time.
var writing sync.Mutex

// relay takes connections and passes each on to the server at inner.
func relay(outer net.Listener, inner string) {
	for {
		client, err := outer.Accept()
		if err != nil {
			log.Print(err)
			return
		}
		go func() {
			defer client.Close()
			server, err := net.Dial("unix", inner)
			if err != nil {
				log.Print(err)
				return
			}
			defer server.Close()
			for exchange(client, server) == nil {
			}
		}()
	}
}

// exchange passes one request on, and its answer back.
func exchange(client, server net.Conn) error {
	request, err := readMessage(client)
	if err != nil {
		return err
	}
	answer, err := ask(server, request)
	if err != nil {
		return err
	}
	_, err = client.Write(answer)
	return err
}

func ask(server net.Conn, request []byte) ([]byte, error) {
	if writes(request) {
		writing.Lock()
		defer writing.Unlock()
	}
	if _, err := server.Write(request); err != nil {
		return nil, err
	}
	return readMessage(server)
}

func readMessage(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(length[:])
	if size < headerSize || size > maxMessage+headerSize {
		return nil, fmt.Errorf("a message of %d bytes", size)
	}
	message := make([]byte, size)
	copy(message, length[:])
	_, err := io.ReadFull(from, message[4:])
	return message, err
}

// writes says whether a command changes documents: the name of the first field of its body is the command's.
func writes(message []byte) bool {
	if len(message) <= firstName || binary.LittleEndian.Uint32(message[12:]) != opMsg {
		return false
	}
	name, _, _ := bytes.Cut(message[firstName:], []byte{0})
	switch string(name) {
	case "insert", "update", "delete", "findAndModify":
		return true
	}
	return false
}
