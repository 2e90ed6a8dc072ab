package storagefault

import (
	"net/http"
	"strings"
)

// The operations that the proxy tells apart. Rules choose by them and Counts is keyed by them. Every request is one
// storage transaction, a batch of a hundred rows too.
const (
	TableGet         = "table.Get"    // one entity
	TableQuery       = "table.Query"  // one page of entities
	TableInsert      = "table.Insert" // fails if the entity exists
	TableUpdate      = "table.Update" // merge or replace with If-Match
	TableUpsert      = "table.Upsert" // merge or replace without
	TableDelete      = "table.Delete"
	TableBatch       = "table.Batch" // an entity group transaction
	TableCreateTable = "table.CreateTable"
	TableDeleteTable = "table.DeleteTable"
	TableListTables  = "table.ListTables"
	TableOther       = "table.Other"

	QueuePut         = "queue.Put"    // send a message
	QueueGet         = "queue.Get"    // receive messages
	QueuePeek        = "queue.Peek"   //
	QueueUpdate      = "queue.Update" // change a message or its visibility
	QueueDelete      = "queue.Delete" // delete a message
	QueueClear       = "queue.Clear"
	QueueCreateQueue = "queue.CreateQueue"
	QueueDeleteQueue = "queue.DeleteQueue"
	QueueProperties  = "queue.Properties"
	QueueOther       = "queue.Other"
)

// tableOperation names a request to the table service with the account as the path's first segment.
func tableOperation(r *http.Request) string {
	_, resource := splitAccount(r.URL.Path)
	method := tunnelled(r)
	switch {
	case resource == "$batch":
		return TableBatch
	case resource == "Tables" && method == http.MethodPost:
		return TableCreateTable
	case resource == "Tables" && method == http.MethodGet:
		return TableListTables
	case strings.HasPrefix(resource, "Tables(") && method == http.MethodDelete:
		return TableDeleteTable
	case resource == "" || strings.HasPrefix(resource, "Tables(") || r.URL.Query().Has("comp"):
		return TableOther
	case strings.Contains(resource, "(PartitionKey="):
		return entityOperation(method, r.Header.Get("If-Match") != "")
	case method == http.MethodGet:
		return TableQuery
	case method == http.MethodPost:
		return TableInsert
	}
	return TableOther
}

func entityOperation(method string, conditional bool) string {
	switch method {
	case http.MethodGet:
		return TableGet
	case http.MethodDelete:
		return TableDelete
	case http.MethodPut, http.MethodPatch, "MERGE":
		if conditional {
			return TableUpdate
		}
		return TableUpsert
	}
	return TableOther
}

// queueOperation names a request to the queue service with the account as the path's first segment.
func queueOperation(r *http.Request) string {
	_, resource := splitAccount(r.URL.Path)
	queue, rest, _ := strings.Cut(resource, "/")
	switch {
	case queue == "":
		return QueueOther
	case rest == "messages":
		return messagesOperation(r)
	case strings.HasPrefix(rest, "messages/") && r.Method == http.MethodPut:
		return QueueUpdate
	case strings.HasPrefix(rest, "messages/") && r.Method == http.MethodDelete:
		return QueueDelete
	case rest != "":
		return QueueOther
	case r.URL.Query().Get("comp") == "metadata" && r.Method != http.MethodPut:
		return QueueProperties
	case r.URL.Query().Has("comp"):
		return QueueOther
	case r.Method == http.MethodPut:
		return QueueCreateQueue
	case r.Method == http.MethodDelete:
		return QueueDeleteQueue
	}
	return QueueOther
}

func messagesOperation(r *http.Request) string {
	switch {
	case r.Method == http.MethodPost:
		return QueuePut
	case r.Method == http.MethodDelete:
		return QueueClear
	case r.Method == http.MethodGet && r.URL.Query().Get("peekonly") == "true":
		return QueuePeek
	case r.Method == http.MethodGet:
		return QueueGet
	}
	return QueueOther
}

func splitAccount(path string) (account, resource string) {
	account, resource, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return account, resource
}

// tunnelled is the method that a POST may stand for.
func tunnelled(r *http.Request) string {
	if method := r.Header.Get("X-HTTP-Method"); method != "" && r.Method == http.MethodPost {
		return method
	}
	return r.Method
}
