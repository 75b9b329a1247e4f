using Archipelago.Runtime.Routing;
using Archipelago.Xseg;
using Archipelago.Xseg.Layout;
using Archipelago.Xseg.Ports;

namespace Archipelago.Nbd.Core;

/// <summary>
/// The part of a gateway that knows nothing of how its clients reach it: slots, pages, pieces, who waits for them, deadlines. A
/// transport (NBD sockets here; later virtqueues of vhost-user-blk) begins requests, fills pages or reads them, and is told.
/// One reactor.
/// </summary>
internal sealed class Gateway
{
    /// <summary>
    /// Largest piece with data, 1 MiB. A longer request is cut at multiples of it, so that all pieces but the first begin with a page;
    /// each piece is sent and freed by itself, so that none waits for another's pages.
    /// </summary>
    internal const uint MaxDataPiece = 1 << 20;
    private const uint MaxPlainPiece = 1 << 30;
    /// <summary>Slots that data requests leave to OPEN, CLOSE and the like.</summary>
    private const int ReservedSlots = 4;

    private readonly PeerContext _context;
    private readonly Port _port;
    private readonly long _deadline;
    private readonly ExpiryLog _expiries;
    private readonly long _readWindow;
    private long _readBytes;
    private readonly Stack<Piece> _freePieces = new();
    private readonly Stack<GatewayRequest> _freeRequests = new();
    private GatewayRequest? _firstWaiting, _lastWaiting, _firstDue, _lastDue;
    private bool _pumpPosted;
    private bool _timerSet;

    internal Gateway(PeerContext context, NbdOptions options)
    {
        _context = context;
        _port = context.Port;
        _deadline = options.RequestDeadline.Ticks * 100;
        _expiries = new ExpiryLog(context, options.RequestDeadline);
        _readWindow = (long)options.Pages << 12;
        Route = context.OpenRoute(options.Route);
        for (int i = 0; i < 64; i++)
        {
            _freePieces.Push(new Piece(this));
            _freeRequests.Push(new GatewayRequest(this));
        }
    }

    internal Route Route { get; }

    /// <summary>Slots that data requests may take.</summary>
    internal int SlotsLeft => _port.FreeSlots - ReservedSlots;

    /// <summary>
    /// Bytes of READs that may be lent beside those that are: what a client does not take is kept from the cache below, so there is as much
    /// for all together as there are pages for payload.
    /// </summary>
    internal long ReadBytesLeft => _readWindow - _readBytes;
    internal GatewayStatistics Statistics { get; } = new();

    /// <summary>True while a request waits for a slot or pages.</summary>
    internal bool IsCongested => _firstWaiting != null;

    /// <summary>Is called when answers came that no transport's call was waiting for: queued replies should be sent soon.</summary>
    internal Action? AnswersCame { get; set; }

    /// <summary>Is called when requests have to wait for slots or pages, once per congestion.</summary>
    internal Action? Congested { get; set; }

    internal GatewayRequest Begin(GatewayClient client, Export export, XsegOp op, RequestFlags flags, ulong offset, uint length, ulong cookie, int clientFlags)
    {
        var request = _freeRequests.Count > 0 ? _freeRequests.Pop() : new GatewayRequest(this);
        request.Begin(client, export, op, flags, offset, length, cookie, clientFlags);
        Note(request, client, 1);
        Statistics.InFlight++;
        return request;
    }

    internal void AnsweredLater() => AnswersCame?.Invoke();

    internal bool TryTakePiece(GatewayRequest request, out Piece piece)
    {
        piece = null!;
        // First come, first served: else a large request would starve behind small ones.
        if ((_firstWaiting != null && _firstWaiting != request) || _port.FreeSlots <= ReservedSlots || !_port.TryAllocate(out var slot))
        {
            Wait(request);
            return false;
        }

        ulong offset = request.Offset + request.Issued;
        uint length = PieceLength(request, offset);
        var export = request.Export;
        _port.Prepare(slot, request.Op, export.Flow, export.Target, export.Hash, offset, length, request.Flags);
        if (_deadline != 0) _port.SetDeadline(slot, (ulong)(_context.Reactor.Clock.BoottimeNanoseconds + _deadline));
        bool hasData = request.Op is XsegOp.Write or XsegOp.Read;
        int extents = hasData ? Request.PagesFor(offset, length) : request.Op == XsegOp.MapRead ? 1 : 0;
        if ((request.Op == XsegOp.Write || extents > RequestSlot.InlineExtents) && !_port.TryAttachPages(slot, payload: request.Op == XsegOp.Write))
        {
            _context.Free(slot);
            Wait(request);
            return false;
        }

        if (request.IsWaiting) Leave(request);
        piece = _freePieces.Count > 0 ? _freePieces.Pop() : new Piece(this);
        (piece.Owner, piece.Request, piece.Offset, piece.Length, piece.Extents) = (request, slot, offset, length, extents);
        if (extents > 0 && slot.TryData(out var data)) piece.Data = data;
        return true;
    }

    /// <summary>What comes back from a READ or MAPR must name pages that we may read.</summary>
    internal bool IsUsable(Piece piece)
    {
        if (piece.IsReadable()) return true;
        _port.CountBadRequest();
        return false;
    }

    internal void Recycle(Piece piece)
    {
        _context.Free(piece.Request);
        piece.Request = default;
        _freePieces.Push(piece);
        if (_firstWaiting != null) PostPump();
    }

    internal void Recycle(GatewayRequest request, GatewayClient client)
    {
        Note(request, client, -1);
        Statistics.InFlight--;
        _freeRequests.Push(request);
    }

    private void Note(GatewayRequest request, GatewayClient client, int change)
    {
        if (request.Op != XsegOp.Read) return;
        long bytes = Math.Min(request.Length, GatewayRequest.Window * MaxDataPiece) * change;
        client.ReadBytes += bytes;
        _readBytes += bytes;
    }

    /// <summary>Takes a request out of the queue for slots and pages.</summary>
    internal void Leave(GatewayRequest request)
    {
        if (!request.IsWaiting) return;
        request.IsWaiting = false;
        if (request.PreviousWaiting == null) _firstWaiting = request.NextWaiting;
        else request.PreviousWaiting.NextWaiting = request.NextWaiting;
        if (request.NextWaiting == null) _lastWaiting = request.PreviousWaiting;
        else request.NextWaiting.PreviousWaiting = request.PreviousWaiting;
        (request.NextWaiting, request.PreviousWaiting) = (null, null);
        if (_firstWaiting != null) PostPump();
    }

    /// <summary>Starts a request's deadline.</summary>
    internal void Arm(GatewayRequest request)
    {
        if (_deadline == 0 || request.Due != 0) return;
        // All have the same span: the list is in the order of the due times.
        request.Due = _context.Reactor.Now + _deadline;
        (request.PreviousDue, request.NextDue) = (_lastDue, null);
        if (_lastDue == null) _firstDue = request;
        else _lastDue.NextDue = request;
        _lastDue = request;
        SetTimer();
    }

    /// <summary>It waits for a change whose deadline has passed: not longer than its own, and nobody who waits for slots or pages behind it.</summary>
    internal void Held(GatewayRequest request)
    {
        Statistics.HeldUp++;
        Arm(request);
        if (!request.IsWaiting) return;
        Leave(request);
        request.Client.OnRoom(request);
    }

    internal void Disarm(GatewayRequest request)
    {
        if (request.Due == 0) return;
        request.Due = 0;
        if (request.PreviousDue == null) _firstDue = request.NextDue;
        else request.PreviousDue.NextDue = request.NextDue;
        if (request.NextDue == null) _lastDue = request.PreviousDue;
        else request.NextDue.PreviousDue = request.PreviousDue;
        (request.NextDue, request.PreviousDue) = (null, null);
    }

    private static uint PieceLength(GatewayRequest request, ulong offset)
    {
        uint left = request.Length - request.Issued;
        uint most = request.Op switch
        {
            XsegOp.Read or XsegOp.Write => MaxDataPiece,
            XsegOp.Discard or XsegOp.WriteZeroes => MaxPlainPiece,
            _ => uint.MaxValue,
        };
        return request.Length <= most ? left : (uint)Math.Min(left, most - (offset & (most - 1)));
    }

    private void Wait(GatewayRequest request)
    {
        if (request.IsWaiting) return;
        request.IsWaiting = true;
        Statistics.Waits++;
        (request.PreviousWaiting, request.NextWaiting) = (_lastWaiting, null);
        bool first = _lastWaiting == null;
        if (_lastWaiting == null) _firstWaiting = request;
        else _lastWaiting.NextWaiting = request;
        _lastWaiting = request;
        if (first) Congested?.Invoke();
    }

    private void PostPump()
    {
        if (_pumpPosted) return;
        _pumpPosted = true;
        _context.Reactor.Post(static state => ((Gateway)state!).Pump(), this);
    }

    private void Pump()
    {
        _pumpPosted = false;
        while (_firstWaiting is { } request)
        {
            request.Continue();
            if (_firstWaiting == request) break;
        }

        AnsweredLater();
    }

    private void SetTimer()
    {
        if (_timerSet || _firstDue == null) return;
        _timerSet = true;
        _context.Reactor.Schedule(_firstDue.Due, static state => ((Gateway)state!).Expire(), this);
    }

    private void Expire()
    {
        _timerSet = false;
        while (_firstDue is { } request && request.Due <= _context.Reactor.Now)
        {
            Statistics.Expired++;
            _expiries.Add(request.Export);
            request.Expire();
        }

        _expiries.Tell();
        AnsweredLater();
        SetTimer();
    }
}
