package main

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestInterruptIsNoWrongClaim(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	d := &demo{ctx: ctx}
	d.claim(true, "one")
	d.Errorf("two")
	interrupt()
	d.Errorf("kubectl was killed")
	require.Equal(t, 2, d.claims)
	require.Equal(t, 1, d.wrong)
}
