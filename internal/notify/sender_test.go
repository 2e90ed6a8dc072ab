package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const source = "https://app.example.com/api/jobs"

var event = Event{
	ID: "lock-1_5f3c9a017be2_completed", Kind: "completed", Subject: "lock-1", Time: noon, Data: json.RawMessage(`{"jobId":"lock-1","n":"<&>"}`),
}

// received is a request as a receiver saw it.
type received struct {
	header http.Header
	url    *url.URL
	body   []byte
}

// receiver answers with answer and remembers what came.
func receiver(t *testing.T, answer http.HandlerFunc) (address string, requests <-chan received) {
	t.Helper()
	got := make(chan received, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Method == http.MethodPost {
			got <- received{r.Header, r.URL, body}
		}
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, got
}

func accepts(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }

// local allows callbacks to this machine.
func local(t *testing.T, o Options) *Sender {
	t.Helper()
	allow, err := ParseAllow("127.0.0.0/8")
	require.NoError(t, err)
	o.Source, o.Allow = source, allow
	return New(o)
}

func TestACallbackIsASignedCloudEvent(t *testing.T) {
	t.Parallel()
	address, requests := receiver(t, accepts)
	oldKey, newKey := []byte(strings.Repeat("o", 24)), []byte(strings.Repeat("n", 64))
	keys, err := ParseKeys("whsec_" + base64.StdEncoding.EncodeToString(newKey) + ", whsec_" + base64.StdEncoding.EncodeToString(oldKey))
	require.NoError(t, err)
	s := local(t, Options{Keys: keys, Now: func() time.Time { return noon.Add(time.Minute) }})
	require.NoError(t, s.Callback(t.Context(), address+"/hook?sig=secret", event))

	r := <-requests
	require.Equal(t, "sig=secret", r.url.RawQuery)
	require.Equal(t, "application/cloudevents+json; charset=utf-8", r.header.Get("Content-Type"))
	require.JSONEq(t, `{"specversion":"1.0","id":"lock-1_5f3c9a017be2_completed","source":"https://app.example.com/api/jobs",
		"type":"io.fleetjobs.job.completed","subject":"lock-1","time":"2026-12-01T12:00:00.000Z","datacontenttype":"application/json",
		"data":{"jobId":"lock-1","n":"<&>"}}`, string(r.body))

	require.Equal(t, event.ID, r.header.Get("webhook-id"))
	require.Equal(t, fmt.Sprint(noon.Add(time.Minute).Unix()), r.header.Get("webhook-timestamp"))
	signatures := strings.Split(r.header.Get("webhook-signature"), " ")
	require.Len(t, signatures, 2, "one for each key, so that receivers may know either")
	for i, key := range [][]byte{newKey, oldKey} {
		mac := hmac.New(sha256.New, key)
		mac.Write(fmt.Appendf(nil, "%s.%s.%s", r.header.Get("webhook-id"), r.header.Get("webhook-timestamp"), r.body))
		require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), signatures[i])
	}
}

// The example of the specification's own test vectors
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py).
func TestTheSignatureIsThatOfTheSpecification(t *testing.T) {
	t.Parallel()
	keys, err := ParseKeys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	require.NoError(t, err)
	h := http.Header{}
	keys.sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", h.Get("webhook-signature"))
}

func TestWithoutAKeyACallbackIsNotSigned(t *testing.T) {
	t.Parallel()
	address, requests := receiver(t, accepts)
	require.NoError(t, local(t, Options{}).Callback(t.Context(), address, event))
	r := <-requests
	require.Equal(t, event.ID, r.header.Get("webhook-id"))
	require.Empty(t, r.header.Values("webhook-signature"))
}

func TestKeysAreReadAndNeverShown(t *testing.T) {
	t.Parallel()
	good := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, wrong := range []string{
		",", good + ",", "c2VjcmV0", "whsec_", "whsec_!!", "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)),
		"whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)), strings.Repeat(good+",", 4) + good,
	} {
		_, err := ParseKeys(wrong)
		require.ErrorIs(t, err, errKeys, wrong)
	}
	keys, err := ParseKeys(good)
	require.NoError(t, err)
	require.Equal(t, "(keys) (keys) (keys)", fmt.Sprintf("%v %+v %#v", keys, keys, keys))
}

func TestAPrivateAddressIsRefusedWhenItIsDialed(t *testing.T) {
	t.Parallel()
	address, requests := receiver(t, accepts)
	port := address[strings.LastIndexByte(address, ':'):]
	s := New(Options{Source: source})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost"+port, nil) // past CheckURL, as a name whose address changed
	require.NoError(t, err)
	var failed *Error
	require.ErrorAs(t, s.send(s.callbacks, r, false), &failed)
	require.Equal(t, Error{Class: ClassRefusedAddress, Final: true}, *failed)
	require.ErrorAs(t, s.Callback(t.Context(), "https://127.0.0.1"+port, event), &failed)
	require.Equal(t, Error{Class: ClassRefusedAddress, Final: true}, *failed)
	require.Nil(t, s.callbacks.Transport.(*http.Transport).Proxy, "a proxy would look the name up by itself")
	require.ErrorAs(t, local(t, Options{}).Callback(t.Context(), "http://localhost"+port, event), &failed, "what CheckURL refuses, though its address is listed")
	require.Equal(t, ClassRefusedAddress, failed.Class)
	require.Empty(t, requests)
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	inner, stolen := receiver(t, accepts)
	address, _ := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inner, http.StatusTemporaryRedirect)
	})
	require.Equal(t, &Error{Class: ClassStatus, Status: 307, Final: true}, local(t, Options{}).Callback(t.Context(), address, event))
	require.Empty(t, stolen)
}

func TestHowADeliveryFailedIsAWordWithoutTheAddress(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	encrypted := httptest.NewUnstartedServer(http.HandlerFunc(accepts))
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0)
	encrypted.StartTLS()
	t.Cleanup(encrypted.Close)
	plain, _ := receiver(t, accepts)
	release := make(chan struct{})
	silent, _ := receiver(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	broken, _ := receiver(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for name, c := range map[string]struct {
		address string
		want    Class
	}{
		"nobody listens":    {"http://" + closed.Addr().String(), ClassConnection},
		"connection broke":  {broken, ClassConnection},
		"unknown authority": {encrypted.URL, ClassTLS},
		"no TLS":            {strings.Replace(plain, "http:", "https:", 1), ClassTLS},
		"no answer":         {silent, ClassTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			if c.want == ClassTimeout {
				limited, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				ctx = limited
			}
			err := local(t, Options{}).Callback(ctx, c.address+"/?sig=secret", event)
			require.Equal(t, &Error{Class: c.want}, err)
			require.NotContains(t, err.Error(), "secret")
		})
	}
	require.Equal(t, ClassName, classify(&url.Error{Op: "Post", Err: &net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}}).Class)
}

func TestALongAnswerIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	address, _ := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := make([]byte, 64<<10)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	began := time.Now()
	require.NoError(t, local(t, Options{}).Callback(t.Context(), address, event))
	require.Less(t, time.Since(began), sendTimeout)
}

// credential gives a token, or an error.
type credential struct{ err error }

func (c credential) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token-for-" + o.Scopes[0]}, c.err
}

func TestATopicGetsABatchOfOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		topic         Topic
		header, value string
	}{
		"by key":      {Topic{Key: "k3y"}, "aeg-sas-key", "k3y"},
		"by identity": {Topic{Credential: credential{}}, "Authorization", "Bearer token-for-https://eventgrid.azure.net/.default"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, requests := receiver(t, accepts)
			c.topic.Endpoint = address + "/api/events"
			s := New(Options{Source: source, Topic: c.topic})
			require.True(t, s.Publishes())
			require.NoError(t, s.Publish(t.Context(), event))
			r := <-requests
			require.Equal(t, "/api/events?api-version=2018-01-01", r.url.String())
			require.Equal(t, "application/cloudevents-batch+json; charset=utf-8", r.header.Get("Content-Type"))
			require.Equal(t, c.value, r.header.Get(c.header))
			var batch []map[string]any
			require.NoError(t, json.Unmarshal(r.body, &batch))
			require.Len(t, batch, 1)
			require.Equal(t, event.ID, batch[0]["id"])
		})
	}
}

func TestATopicThatRefusesUsIsAskedAgain(t *testing.T) {
	t.Parallel()
	address, _ := receiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	s := New(Options{Source: source, Topic: Topic{Endpoint: address, Credential: credential{}}})
	require.Equal(t, &Error{Class: ClassStatus, Status: 403}, s.Publish(t.Context(), event))
	s = New(Options{Source: source, Topic: Topic{Endpoint: address, Credential: credential{errors.New("no identity here")}}})
	require.Equal(t, &Error{Class: ClassCredential}, s.Publish(t.Context(), event))
	require.False(t, New(Options{}).Publishes())
	require.Equal(t, &Error{Class: ClassNoTopic, Final: true}, New(Options{}).Publish(t.Context(), event))
}
