/*
 * The JSON-RPC binding: parses by the SDK, calls the method of its handler, writes the result by the SDK.
 */
package interop.agent;

import com.google.gson.JsonSyntaxException;
import com.google.protobuf.Empty;
import com.google.protobuf.MessageOrBuilder;
import io.a2a.grpc.utils.JSONRPCUtils;
import io.a2a.grpc.utils.ProtoUtils.ToProto;
import io.a2a.jsonrpc.common.json.IdJsonMappingException;
import io.a2a.jsonrpc.common.json.InvalidParamsJsonMappingException;
import io.a2a.jsonrpc.common.json.JsonMappingException;
import io.a2a.jsonrpc.common.json.JsonProcessingException;
import io.a2a.jsonrpc.common.json.MethodNotFoundJsonMappingException;
import io.a2a.jsonrpc.common.wrappers.A2ARequest;
import io.a2a.jsonrpc.common.wrappers.A2AResponse;
import io.a2a.jsonrpc.common.wrappers.CancelTaskRequest;
import io.a2a.jsonrpc.common.wrappers.CreateTaskPushNotificationConfigRequest;
import io.a2a.jsonrpc.common.wrappers.DeleteTaskPushNotificationConfigRequest;
import io.a2a.jsonrpc.common.wrappers.GetExtendedAgentCardRequest;
import io.a2a.jsonrpc.common.wrappers.GetTaskPushNotificationConfigRequest;
import io.a2a.jsonrpc.common.wrappers.GetTaskRequest;
import io.a2a.jsonrpc.common.wrappers.ListTaskPushNotificationConfigRequest;
import io.a2a.jsonrpc.common.wrappers.ListTasksRequest;
import io.a2a.jsonrpc.common.wrappers.SendMessageRequest;
import io.a2a.jsonrpc.common.wrappers.SendStreamingMessageRequest;
import io.a2a.jsonrpc.common.wrappers.SendStreamingMessageResponse;
import io.a2a.jsonrpc.common.wrappers.SubscribeToTaskRequest;
import io.a2a.server.ServerCallContext;
import io.a2a.server.util.sse.SseFormatter;
import io.a2a.spec.A2AError;
import io.a2a.spec.InternalError;
import io.a2a.spec.InvalidParamsError;
import io.a2a.spec.InvalidRequestError;
import io.a2a.spec.JSONParseError;
import io.a2a.spec.MethodNotFoundError;
import io.a2a.transport.jsonrpc.handler.JSONRPCHandler;
import java.io.IOException;
import java.util.concurrent.Flow;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Function;

final class JsonRpc {
    private final JSONRPCHandler handler;

    JsonRpc(JSONRPCHandler handler) {
        this.handler = handler;
    }

    void answer(Call call) throws IOException {
        A2ARequest<?> request;
        try {
            request = JSONRPCUtils.parseRequestBody(call.body(), "");
        } catch (InvalidParamsJsonMappingException error) {
            write(call, error.getId(), new InvalidParamsError(null, error.getMessage(), null));
            return;
        } catch (MethodNotFoundJsonMappingException error) {
            write(call, error.getId(), new MethodNotFoundError(null, error.getMessage(), null));
            return;
        } catch (IdJsonMappingException error) {
            write(call, error.getId(), new InvalidRequestError(null, error.getMessage(), null));
            return;
        } catch (JsonMappingException error) {
            write(call, null, new InvalidRequestError(null, error.getMessage(), null));
            return;
        } catch (JsonProcessingException | JsonSyntaxException error) {
            write(call, null, new JSONParseError(error.getMessage()));
            return;
        } catch (RuntimeException error) {
            // The SDK's parser lets errors of its own out; the reference server answers them so too.
            write(call, null, new InternalError(error.toString()));
            return;
        }
        Flow.Publisher<SendStreamingMessageResponse> events = stream(request, call.context());
        if (events != null) {
            AtomicLong number = new AtomicLong();
            call.stream(events, event -> SseFormatter.formatResponseAsSSE(event, number.getAndIncrement()));
        } else {
            call.answer(200, "application/json", unary(request, call.context()));
        }
    }

    private Flow.Publisher<SendStreamingMessageResponse> stream(A2ARequest<?> request, ServerCallContext context) {
        if (request instanceof SendStreamingMessageRequest send) {
            return handler.onMessageSendStream(send, context);
        }
        if (request instanceof SubscribeToTaskRequest subscribe) {
            return handler.onSubscribeToTask(subscribe, context);
        }
        return null;
    }

    private String unary(A2ARequest<?> request, ServerCallContext context) {
        if (request instanceof SendMessageRequest send) {
            return result(handler.onMessageSend(send, context), ToProto::taskOrMessage);
        }
        if (request instanceof GetTaskRequest get) {
            return result(handler.onGetTask(get, context), ToProto::task);
        }
        if (request instanceof ListTasksRequest list) {
            return result(handler.onListTasks(list, context), ToProto::listTasksResult);
        }
        if (request instanceof CancelTaskRequest cancel) {
            return result(handler.onCancelTask(cancel, context), ToProto::task);
        }
        if (request instanceof CreateTaskPushNotificationConfigRequest create) {
            return result(
                    handler.setPushNotificationConfig(create, context),
                    ToProto::createTaskPushNotificationConfigResponse);
        }
        if (request instanceof GetTaskPushNotificationConfigRequest get) {
            return result(
                    handler.getPushNotificationConfig(get, context), ToProto::getTaskPushNotificationConfigResponse);
        }
        if (request instanceof ListTaskPushNotificationConfigRequest list) {
            return result(
                    handler.listPushNotificationConfig(list, context),
                    ToProto::listTaskPushNotificationConfigResponse);
        }
        if (request instanceof DeleteTaskPushNotificationConfigRequest delete) {
            return result(
                    handler.deletePushNotificationConfig(delete, context), deleted -> Empty.getDefaultInstance());
        }
        if (request instanceof GetExtendedAgentCardRequest card) {
            return result(handler.onGetExtendedCardRequest(card, context), ToProto::getExtendedCardResponse);
        }
        throw new IllegalArgumentException("no method for " + request.getClass());
    }

    private static <T> String result(A2AResponse<T> response, Function<T, MessageOrBuilder> toProto) {
        return response.getError() != null
                ? JSONRPCUtils.toJsonRPCErrorResponse(response.getId(), response.getError())
                : JSONRPCUtils.toJsonRPCResultResponse(response.getId(), toProto.apply(response.getResult()));
    }

    private static void write(Call call, Object id, A2AError error) throws IOException {
        call.answer(200, "application/json", JSONRPCUtils.toJsonRPCErrorResponse(id, error));
    }
}
